"""Shows every program's metrics to `promtool check metrics`: names, units and help texts by Prometheus' own rules.

Owns making one page a program from the catalogue, each labelled metric with a sample, because promtool says nothing
about a metric without one. Refuses to judge anything itself.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics import MetricWrapperBase

from lib.telemetry import metrics as catalogue


def pages() -> Iterator[tuple[str, bytes]]:
    """The name and the metrics page of each class in the catalogue."""
    for name, program in vars(catalogue).items():
        if isinstance(program, type) and program.__module__ == catalogue.__name__:
            registry = CollectorRegistry()
            for metric in vars(program(registry)).values():
                if isinstance(metric, MetricWrapperBase) and metric._labelnames:
                    metric.labels(*("example" for _ in metric._labelnames))
            yield name, generate_latest(registry)


def main() -> int:
    promtool = shutil.which("promtool")
    if promtool is None:
        print("check_metrics: promtool is not installed, the metrics' names were not checked", file=sys.stderr)
        return 0
    failures = 0
    for name, page in pages():
        answer = subprocess.run([promtool, "check", "metrics"], input=page, capture_output=True, check=False)
        if answer.returncode != 0:
            failures += 1
            print(f"{name}:\n{(answer.stdout + answer.stderr).decode()}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
