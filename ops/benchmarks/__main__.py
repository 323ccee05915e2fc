"""Runs every benchmark, one after another: `make bench`. Each prints a table whose ratios are of one run."""

from __future__ import annotations

import subprocess
import sys

BENCHMARKS = ("cli_start", "plan", "enqueue", "look", "daemons")

if __name__ == "__main__":
    failed = [
        name
        for name in BENCHMARKS
        if subprocess.run([sys.executable, "-P", "-m", f"ops.benchmarks.{name}"], check=False).returncode != 0
    ]
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")
