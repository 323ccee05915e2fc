"""How long the command line takes to start, as a ratio to `python -c "import yaml"` measured in the same run.

Aim: `job-runner --help` and an offline command at most twice as long. Runs are interleaved, so that a busy moment hits
all three; the median of 30 counts. Bytecode is cached in a folder of the benchmark's own, as after any first start.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ops.benchmarks.machine import table

RUNS = 30
AIM = 2.0
ROOT = Path(__file__).resolve().parents[2]
TINY = "- {output_name: a/b, voice: newsroom, text: One line.}\n"


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        tiny = Path(folder) / "tiny.yaml"
        tiny.write_text(TINY)
        script = Path(sys.executable).with_name("job-runner")
        start = [str(script)] if script.exists() else [sys.executable, "-m", "cli"]
        commands = {
            'python -c "import yaml"': [sys.executable, "-c", "import yaml"],
            "job-runner --help": [*start, "--help"],
            "job-runner plan tiny.yaml": [*start, "plan", str(tiny)],
        }
        seconds = measure(commands, environment(folder))
    medians = {name: statistics.median(found) for name, found in seconds.items()}
    base = next(iter(medians.values()))
    rows = [
        (name, f"{median * 1000:.1f}", f"{median / base:.2f}", "" if median == base else f"<= {AIM:.1f}")
        for name, median in medians.items()
    ]
    table(f"Start-up, median of {RUNS} interleaved runs", ("command", "ms", "ratio", "aim"), rows)


def environment(folder: str) -> dict[str, str]:
    """Return the environment of the runs: bytecode is kept, and the repository's voices are used."""
    variables = {**os.environ, "PYTHONPYCACHEPREFIX": f"{folder}/bytecode", "JOB_RUNNER_CACHE": str(ROOT / "cache")}
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    return variables


def measure(commands: dict[str, list[str]], variables: dict[str, str]) -> dict[str, list[float]]:
    """Return the seconds of each command's runs, after one run that warms the caches."""
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(RUNS + 1):
        for name, command in commands.items():
            started = time.perf_counter()
            subprocess.run(command, env=variables, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
            if turn:
                seconds[name].append(time.perf_counter() - started)
    return seconds


if __name__ == "__main__":
    main()
