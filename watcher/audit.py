"""The audit: once a minute, in small steps, what should carry each job is compared with what does.

A job whose carrier vanished goes back to the queue, a delivered entry that nobody leases is leased again, one without
a row is adopted, one that is superseded is removed. Each step is one bounded call or a few; the loop takes the next
when it comes round. A pass that an outage interrupts begins anew.
"""

from __future__ import annotations

from collections.abc import Iterator

from lib.jobqueue.look import Look
from lib.jobqueue.store import JobStore
from lib.jobqueue.streams import WorkStream
from watcher import backfill
from watcher.held import Held
from watcher.intake import Intake
from watcher.lease import Lock
from watcher.lost import fail_lost
from watcher.observe import Observer
from watcher.pulse import RedisClock

WINDOW = 250
SPOOL_SILENT_MS = 60_000  # its provisioner and its uploaders speak every few seconds


class Audit:
    """One pass after another, while the lock is held."""

    def __init__(
        self,
        store: JobStore,
        look: Look,
        stream: WorkStream,
        held: Held,
        intake: Intake,
        lock: Lock,
        clock: RedisClock,
        observer: Observer,
        every_seconds: float,
        spool_lost_seconds: float,
    ) -> None:
        self._store = store
        self._look = look
        self._stream = stream
        self._held = held
        self._intake = intake
        self._lock = lock
        self._clock = clock
        self._observer = observer
        self._every_seconds = every_seconds
        self._spool_lost_seconds = spool_lost_seconds
        self._silent_since: dict[str, float] = {}
        self._pass: Iterator[None] | None = None
        self._next = 0.0

    def restart(self) -> None:
        """Begin with a fresh pass: a term began."""
        self._pass = None
        self._next = 0.0
        self._silent_since.clear()

    def step(self, now_seconds: float) -> None:
        """Take the next step of the pass under way, or begin one when it is time."""
        if self._pass is None:
            if now_seconds < self._next:
                return
            self._next = now_seconds + self._every_seconds
            self._pass = self._run(now_seconds)
        try:
            next(self._pass)
        except StopIteration:
            self._pass = None
        except BaseException:
            self._pass = None
            raise

    def _run(self, now_seconds: float) -> Iterator[None]:
        if not self._look.backfilled():
            yield from backfill.run(self._store, self._look, self._stream, self._clock, self._observer)
        yield from self._stream_walk()
        yield from self._jobs(self._lost_spools(now_seconds))
        self._observer.batches_removed(self._store.audit_batches())

    def _lost_spools(self, now_seconds: float) -> set[str]:
        """Spools of which nobody has spoken for so long that their host, or they themselves, must be gone.

        Counted from when this watcher noticed, not by their last word: after an outage of Redis all seem silent.
        """
        alive = set(self._look.live_workers("spool", SPOOL_SILENT_MS))
        silent = [spool for spool in self._store.spools() if spool not in alive]
        self._silent_since = {spool: self._silent_since.get(spool, now_seconds) for spool in silent}
        return {one for one, since in self._silent_since.items() if now_seconds - since >= self._spool_lost_seconds}

    def _jobs(self, lost_spools: set[str]) -> Iterator[None]:
        """Put back jobs whose carrier vanished; fail those whose spec vanished with it."""
        start = 0
        while True:
            looked, found = self._store.audit(start, WINDOW, lost_spools)
            self._observer.repaired(found)
            lost = [request_id for request_id, state in found if state == "no_spec"]
            fail_lost(self._store, self._look, lost, self._clock.now_ms())
            if looked < WINDOW:
                return
            start += looked - len(lost)
            yield

    def _stream_walk(self) -> Iterator[None]:
        """Check every entry that was ever delivered and is still on the stream."""
        upto = self._stream.delivered()
        after = "-"
        while after:
            entries, after = self._stream.page(WINDOW, after, upto)
            unchecked = [entry for entry in entries if not self._held.is_undispatched(entry.id)]
            if unchecked:
                ids = [entry.id for entry in unchecked]
                ours = self._stream.adopt(self._store.keys.watcher_lock, self._lock.value(), ids)
                unknown = sum(1 for one in ids if one in ours and not self._held.is_known(one))
                self._intake.take([entry for entry in unchecked if entry.id in ours], self._clock.now_ms())
                if unknown:
                    self._observer.adopted(unknown)
            if after:
                yield
