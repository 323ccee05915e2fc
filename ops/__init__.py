"""What surrounds the programs: supervision, the demo, benchmarks. No program imports it."""
