"""The clock of Redis, and the heartbeat that says what the watcher is doing. Depends on no local wall clock.

The local clock may be wrong by hours; ages and times come from Redis, carried forward by a monotonic clock.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime

from lib.jobqueue.records import iso
from watcher.lease import boot_clock


class RedisClock:
    """What time it is in Redis; until it was told, the local clock's guess."""

    def __init__(self, clock: Callable[[], float] = boot_clock) -> None:
        self._clock = clock
        self._offset_seconds = time.time() - clock()

    def told(self, now_ms: int) -> None:
        """Take note of what Redis just said."""
        self._offset_seconds = now_ms / 1000 - self._clock()

    def now_ms(self) -> int:
        return int((self._clock() + self._offset_seconds) * 1000)

    def compact(self) -> str:
        """Now, as it goes into an id: 20250131T235959."""
        return datetime.fromtimestamp(self.now_ms() / 1000, UTC).strftime("%Y%m%dT%H%M%S")


class Pulse:
    """The state that the heartbeat shows. Written by the loop, read by the lock's thread."""

    def __init__(self, consumer: str, clock: RedisClock) -> None:
        self._consumer = consumer
        self._clock = clock
        self.run_id = ""
        self.reason = "starting"
        self.held = 0
        self.outstanding_batches = 0

    def new_run(self) -> str:
        """Name the term that begins now."""
        self.run_id = f"w-{self._clock.compact()}-{secrets.token_hex(4)}"
        self.reason = "starting"
        return self.run_id

    def heartbeat(self) -> str:
        """The heartbeat as JSON."""
        return json.dumps(
            {
                "ts": iso(self._clock.now_ms() / 1000),
                "consumer": self._consumer,
                "run_id": self.run_id,
                "reason": self.reason,
                "held": self.held,
                "outstanding_batches": self.outstanding_batches,
            }
        )
