"""The command line's own metrics, to PUSHGATEWAY_URL or JOB_RUNNER_METRICS_TEXTFILE where one of them is set.

Imports prometheus_client only then. A failure here never fails a command: it is one warning on standard error.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from cli import console

TYPE_CHECKING = False
if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

PUSH_TIMEOUT_SECONDS = 3.0
JOB = "job-runner"
_enqueued: dict[str, int] = {}


def note_enqueued(counts: Mapping[str, int]) -> None:
    """Remember the answers of this run's enqueue, for `publish`."""
    _enqueued.clear()
    _enqueued.update(counts)


def publish(command: str, exit_code: int, seconds: float) -> None:
    """Publish one run of a command where the environment says so."""
    gateway = os.environ.get("PUSHGATEWAY_URL", "").strip()
    textfile = os.environ.get("JOB_RUNNER_METRICS_TEXTFILE", "").strip()
    if not gateway and not textfile:
        return
    try:
        registry = _measured(command, exit_code, seconds)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with metrics, the command is not
        _warn("metrics", error)
        return
    if gateway:
        try:
            _push(gateway, command, registry)
        except Exception as error:  # noqa: BLE001
            _warn("PUSHGATEWAY_URL", error)
    if textfile:
        try:
            _write(textfile, command, registry)
        except Exception as error:  # noqa: BLE001
            _warn("JOB_RUNNER_METRICS_TEXTFILE", error)


def _measured(command: str, exit_code: int, seconds: float) -> CollectorRegistry:
    from prometheus_client import CollectorRegistry

    from lib.telemetry.metrics import CommandMetrics

    registry = CollectorRegistry()
    metrics = CommandMetrics(registry)
    metrics.duration.labels(command).set(seconds)
    metrics.last.labels(command, str(exit_code)).set_to_current_time()
    for status, count in _enqueued.items():
        metrics.enqueued.labels(status).set(count)
    return registry


def _push(url: str, command: str, registry: CollectorRegistry) -> None:
    """Replace this command's group; other commands' stay."""
    from prometheus_client import push_to_gateway

    push_to_gateway(url, job=JOB, registry=registry, grouping_key={"command": command}, timeout=PUSH_TIMEOUT_SECONDS)


def _write(name: str, command: str, registry: CollectorRegistry) -> None:
    """Replace a file whole. A folder gets one file for each command, so that they do not replace each other's."""
    from prometheus_client import write_to_textfile

    path = Path(name)
    write_to_textfile(str(path / f"{JOB}-{command}.prom" if path.is_dir() else path), registry)


def _warn(what: str, error: Exception) -> None:
    from cli.render import clean

    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
    console.warn(f"warning: {what}: metrics were not published ({clean(reason)}); the command itself is not affected")
