"""The leases on the uploads this process holds: renewed by a thread, and believed only for a while.

Owns how long a lease is believed: TTL less a margin, counted from when the last renewal was *sent*. Refuses to renew a
lease whose step has outlived its deadline, so that a hung step does not hold its work for ever.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from lib.errors import JobRunnerError, LeaseLost
from lib.jobqueue.store import JobStore
from lib.jobqueue.streams import WorkStream
from uploader.observe import Observer

logger = logging.getLogger(__name__)

_BEAT_SECONDS = 5.0
_MARGIN = 6  # a sixth of the TTL


@dataclass(slots=True)
class _Held:
    sent: float
    deadline: float | None = None
    lost: bool = False


class Leases:
    """Leases on entries of one uploads stream. All times are monotonic seconds."""

    def __init__(
        self,
        store: JobStore,
        stream: WorkStream,
        ttl_ms: int,
        worker: str,
        spool: str,
        observer: Observer,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._stream = stream
        self._ttl = ttl_ms / 1000
        self._worker = worker
        self._spool = spool
        self._observer = observer
        self._clock = clock
        self._held: dict[str, _Held] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="leases", daemon=True)
        self._redis_ms: tuple[int, float] = (int(time.time() * 1000), clock())

    def start(self) -> Leases:
        """Renew from now on."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Renew no more; what is held stays pending and runs out, or is taken back at the next start."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=15)

    def hold(self, entry: str, sent: float) -> None:
        """Begin to renew an entry that was read, claimed or reclaimed by a call sent at `sent`."""
        with self._lock:
            self._held[entry] = _Held(sent)

    def release(self, entry: str) -> None:
        """Stop renewing an entry."""
        with self._lock:
            self._held.pop(entry, None)

    def set_deadline(self, entry: str, seconds: float | None) -> None:
        """From so many seconds on stop renewing this entry; None: a step ended in time."""
        with self._lock:
            held = self._held.get(entry)
            if held is not None:
                held.deadline = None if seconds is None else self._clock() + seconds

    def believed(self, entry: str) -> bool:
        """Whether this process may still have an effect for the entry."""
        with self._lock:
            held = self._held.get(entry)
        return held is not None and not held.lost and self._clock() < held.sent + self._ttl * (1 - 1 / _MARGIN)

    def check(self, entry: str) -> None:
        """Raise LeaseLost unless the entry's lease is believed."""
        if not self.believed(entry):
            raise LeaseLost(f"the lease on upload {entry} is no longer believed")

    def overdue(self) -> bool:
        """Whether a step has outlived its deadline: this process hangs somewhere."""
        now = self._clock()
        with self._lock:
            return any(one.deadline is not None and now > one.deadline for one in self._held.values())

    def redis_seconds(self) -> float:
        """The time by the clock of Redis (unix seconds), as far as it is known."""
        at_ms, mark = self._redis_ms
        return at_ms / 1000 + self._clock() - mark

    def renew(self) -> None:
        """Renew once what may be renewed."""
        sent = self._clock()
        with self._lock:
            ids = [id_ for id_, one in self._held.items() if not one.lost and (one.deadline or sent) >= sent]
        if not ids:
            return
        lost = self._stream.renew(ids)
        self._note(ids, lost, sent)

    def _note(self, ids: Collection[str], lost: Collection[str], sent: float) -> None:
        gone = 0
        with self._lock:
            for id_ in ids:
                held = self._held.get(id_)
                if held is None:
                    continue  # settled while the answer was on its way
                if id_ in lost:
                    held.lost = True
                    gone += 1
                else:
                    held.sent = max(held.sent, sent)
        if gone:
            self._observer.leases_lost(gone)

    def beat(self) -> None:
        """Say that this uploader and its spool are alive, and learn the time of Redis."""
        self._redis_ms = (self._store.beat(f"uploader/{self._worker}", f"spool/{self._spool}"), self._clock())

    def _run(self) -> None:
        next_beat = 0.0
        while not self._stop.wait(min(self._ttl / 4, 1.0)):
            try:
                if self._clock() >= next_beat:
                    self.beat()
                    next_beat = self._clock() + _BEAT_SECONDS
                self._renew_due()
            except JobRunnerError as error:
                self._observer.queue_failed(error)

    def _renew_due(self) -> None:
        with self._lock:
            oldest = min((one.sent for one in self._held.values() if not one.lost), default=None)
        if oldest is not None and self._clock() - oldest >= self._ttl / 4:
            self.renew()
