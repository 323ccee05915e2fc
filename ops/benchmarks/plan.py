"""How long `job-runner plan` takes for 10,000 jobs, as a ratio to `yaml.load(..., CSafeLoader)` of the same file.

Aim: the whole process (start, parse, check, table) at most 2.5 times the bare load, which is timed inside a process
that has imported yaml already.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ops.benchmarks.cli_start import ROOT, environment
from ops.benchmarks.machine import table

JOBS = 10_000
RUNS = 7
AIM = 2.5
LOAD = """
import sys, time, yaml
started = time.perf_counter()
with open(sys.argv[1]) as file:
    yaml.load(file, yaml.CSafeLoader)
print(time.perf_counter() - started)
"""


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "jobs.yaml"
        path.write_text(script(JOBS))
        variables = environment(folder)
        script_path = Path(sys.executable).with_name("job-runner")
        start = [str(script_path)] if script_path.exists() else [sys.executable, "-m", "cli"]
        loads: list[float] = []
        plans: dict[str, list[float]] = {"job-runner plan": [], "job-runner plan --json": []}
        for turn in range(RUNS + 1):
            done = subprocess.run(
                [sys.executable, "-c", LOAD, str(path)], env=variables, capture_output=True, text=True, check=True
            )
            for name, seconds in plans.items():
                started = time.perf_counter()
                command = [*start, *name.split()[1:], str(path)]
                subprocess.run(command, env=variables, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
                if turn:
                    seconds.append(time.perf_counter() - started)
            if turn:
                loads.append(float(done.stdout))
        size_kib = path.stat().st_size // 1024
    base = statistics.median(loads)
    rows = [("yaml.load(file, CSafeLoader)", f"{base:.3f}", "1.00", "")]
    for name, seconds in plans.items():
        median = statistics.median(seconds)
        rows.append((f"{name} (whole process)", f"{median:.3f}", f"{median / base:.2f}", f"<= {AIM}"))
    table(f"Plan of {JOBS:,} jobs ({size_kib:,} KiB), median of {RUNS} runs", ("what", "s", "ratio", "aim"), rows)


def script(count: int) -> str:
    """Return YAML with `count` jobs like those of a real script: defaults, two kinds of voices, callback_data."""
    lines = [
        "defaults: {language: English, profile: balanced, variants: 1, select_best: false, chunk: false,",
        "  callback_data: {project: benchmark, nested: {a: 1, b: two}}}",
        "jobs:",
    ]
    for row in range(count):
        lines.append(f"  - output_name: topic-{row // 100:03d}/beat-{row % 100:03d}")
        lines += ["    speaker: Ryan"] if row % 3 == 0 else ["    voice: newsroom"]
        lines.append(f'    text: "Sentence number {row} of a long script, which tells about the weather of the day."')
        if row % 5 == 0:
            lines += [f"    temperature: 0.{row % 9 + 1}", "    callback_data:", f"      beat: {row}"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
