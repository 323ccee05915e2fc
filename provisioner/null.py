"""A box that speaks nothing, and a collector without files: the executor `null`, for benchmarks of the queue only.

Every job is done the moment its batch is started, with no audio at all. Enabled by PROVISIONER_EXECUTOR=null and by
nothing else; its records say `engine: null`.
"""

# ruff: noqa: ARG002 - the arguments are the protocol's

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from lib.errors import BadArtefact
from lib.jobqueue.spec import JobSpec
from provisioner.box import Box, Pushed, Traces
from provisioner.collect import Collected

RESULT: dict[str, object] = {
    "schema_version": 1,
    "app": "voice-synth",
    "status": "done",
    "engine": None,
    "audio_seconds": 0,
    "files": {"takes": [], "best": None, "meta": None, "text": None},
    "error": None,
}


class NullBox:
    """Reports every job done at once."""

    executor = "null"
    box_id = "null"
    price_per_hour = 0.0

    def __init__(self) -> None:
        self._events: dict[str, bytes] = {}

    def trouble(self) -> str | None:
        """Never any."""
        return None

    def traces(self, batch_id: str) -> Traces:
        """What was spoken before a restart left nothing, and lost nothing."""
        return Traces.ENDED

    def push(self, batch_id: str, jobs: Sequence[JobSpec]) -> Pushed:
        """Make up the events of these jobs."""
        lines = [
            json.dumps({"v": 1, "event": "job_finished", "request_id": job["request_id"], "status": "done"})
            for job in jobs
        ]
        lines.append('{"v":1,"event":"executor_finished"}')
        self._events[batch_id] = "\n".join([*lines, ""]).encode()
        return Pushed("null", {job["request_id"]: 1.0 for job in jobs})

    def start(self, batch_id: str, finished: Sequence[str]) -> None:
        """Nothing to start."""

    def alive(self, batch_id: str) -> bool:
        """Never."""
        return False

    def read_events(self, batch_id: str, offset: int) -> bytes:
        """Return the made-up events."""
        return self._events.get(batch_id, b"")[offset:]

    def fetch(self, batch_id: str, output_name: str) -> Path:
        """There is nothing to fetch."""
        raise BadArtefact("the executor null makes no files")

    def cancel(self, batch_id: str, request_id: str) -> None:
        """Too late: everything is done."""

    def kill(self, batch_id: str) -> None:
        """Nothing runs."""

    def remove(self, batch_id: str) -> None:
        """Forget the events."""
        self._events.pop(batch_id, None)

    def batch_ids(self) -> list[str]:
        """None outlive this process."""
        return []


class NullCollector:
    """Collects nothing."""

    def __init__(self, spool: str) -> None:
        self.spool = spool

    def trouble(self) -> str | None:
        """Never any."""
        return None

    def collect(self, box: Box, batch_id: str, token: str, job: JobSpec) -> Collected:
        """Return a result without files."""
        return Collected("", [], RESULT, 0.0)

    def discard(self, collected: Collected) -> None:
        """Nothing to remove."""
