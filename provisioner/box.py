"""What a slot speaks on: the protocol that this machine implements, and that a rented box will.

A box holds folders of batches, runs one detached executor in each, and is believed in nothing: what it says is events
to be parsed, what it made is files to be checked. Every act is safe to repeat. Refuses to know the queue.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol

from lib.jobqueue.spec import JobSpec


class Traces(Enum):
    """What a box shows of a batch, before anything is done there."""

    NONE = "none"  # nothing: it was never here
    WAITING = "waiting"  # it was pushed, and no executor has begun
    ALIVE = "alive"  # its executor is at work
    ENDED = "ended"  # its executor ended by itself, or stopped when told to: nothing was lost
    DEAD = "dead"  # its executor was killed


NOTHING_LOST = frozenset({Traces.WAITING, Traces.ALIVE, Traces.ENDED})


@dataclass(frozen=True, slots=True)
class Pushed:
    """A batch that lies on the box. `deadlines`: seconds each job may take, by request id."""

    run_id: str
    deadlines: Mapping[str, float]


class Box(Protocol):
    """One machine that speaks.

    Methods raise BoxLost when the machine does not answer any more, OSError when this one has no room for its part.
    """

    executor: str
    box_id: str
    price_per_hour: float

    def trouble(self) -> str | None:
        """Say why nothing can be spoken here now, or None. Cheap: asked before each lease."""

    def traces(self, batch_id: str) -> Traces:
        """Look what is there of a batch."""

    def push(self, batch_id: str, jobs: Sequence[JobSpec]) -> Pushed:
        """Bring the jobs here, ready to start; what was made of the very same jobs already is kept."""

    def start(self, batch_id: str, finished: Sequence[str]) -> None:
        """Start the detached executor unless it is alive; jobs that `finished` (request ids) are left out."""

    def alive(self, batch_id: str) -> bool:
        """Whether the executor is at work. Ask before reading: what it wrote before it died is then read."""

    def read_events(self, batch_id: str, offset: int) -> bytes:
        """Read the executor's events from a byte offset, up to a bound; empty when there is nothing new."""

    def fetch(self, batch_id: str, output_name: str) -> Path:
        """Bring a finished job's files to this machine; return their folder."""

    def cancel(self, batch_id: str, request_id: str) -> None:
        """End one job of a batch, or keep it from being begun."""

    def kill(self, batch_id: str) -> None:
        """End the executor and all it started, and wait for it; what it finished stays."""

    def remove(self, batch_id: str) -> None:
        """End the executor and forget the batch."""

    def batch_ids(self) -> list[str]:
        """The batches that have left anything here."""
