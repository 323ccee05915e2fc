"""The demo: every real part on this machine, from a YAML file to narrated audio."""
