"""The lock and the leases: when to renew them, and when to stop believing in them.

The lock is believed until its life, less a margin, counted from when its last renewal was *sent*: a reply that comes
late proves nothing. Once belief has ended a term is over, whatever Redis would say, for another watcher may have come
and gone meanwhile; winning again is a new term with a new token. Dispatching presents the lock's value to its script,
so that a watcher that was paused can change nothing. Both renewers have a thread and a connection of their own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue

from lib.errors import JobRunnerError, LeaseLost
from lib.jobqueue.store import JobStore, new_token
from watcher.held import Held
from watcher.observe import Observer

_MARGIN = 0.2  # of the lock's life
_PAGE = 500
_RETRY_SECONDS = 1.0


def boot_clock() -> float:
    """Seconds since boot; goes on while the machine sleeps, as the lock's life does."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Lock:
    """The watchers' lock, as one watcher sees it."""

    def __init__(
        self,
        store: JobStore,
        consumer: str,
        ttl_ms: int,
        heartbeat: Callable[[], str],
        observer: Observer,
        clock: Callable[[], float] = boot_clock,
    ) -> None:
        self._store = store
        self._consumer = consumer
        self._ttl_ms = ttl_ms
        self._heartbeat = heartbeat
        self._observer = observer
        self._clock = clock
        self._calls = threading.Lock()  # one call at a time: a late renewal must not take a released lock again
        self._value = ""
        self._former = ""
        self._until = 0.0

    def believed(self) -> bool:
        """Whether this watcher may act as the lock's holder now."""
        return bool(self._value) and self._clock() < self._until

    def value(self) -> str:
        """The value that fences every dispatch of this term. Raises LeaseLost."""
        value = self._value
        if not self.believed():
            raise LeaseLost("the lock was not renewed in time")
        return value

    def acquire(self) -> str:
        """Try to begin a term; returns '' when it was won, else the name of the holder."""
        with self._calls:
            if self._former:
                # Ours of an earlier term: a slow Redis carried out its last call after we had given up on it.
                self._store.unlock(self._former)
            value = f"{self._consumer} {new_token()}"
            self._former = value  # also when the reply is lost
            sent = self._clock()
            answer = self._store.lock(value, self._ttl_ms, self._heartbeat())
            if answer != value:
                self._former = ""
                return answer.rpartition(" ")[0] or answer
            self._until = self._believe_until(sent)
            self._value = value
            return ""

    def renew(self) -> None:
        """Keep the lock, or find out that the term is over; does nothing between terms."""
        with self._calls:
            value = self._value
            if not value:
                return
            if not self.believed():
                self._end("it was not renewed in time")
                return
            sent = self._clock()
            answer = self._store.lock(value, self._ttl_ms, self._heartbeat())
            if answer == value:
                self._until = self._believe_until(sent)
            else:
                self._end(f"it is now {answer.rpartition(' ')[0]}'s")

    def abandon(self, why: str) -> None:
        """End the term without a word to Redis."""
        if self._value:
            self._end(why)

    def release(self, patience_seconds: float = 1.0) -> None:
        """Give the lock back, so that the next watcher need not wait; raises what Redis raises."""
        value, self._value = self._value, ""
        if not value or not self._calls.acquire(timeout=patience_seconds):
            return
        try:
            self._store.unlock(value)
        finally:
            self._calls.release()
        self._observer.lock_released()

    def _end(self, why: str) -> None:
        self._value = ""
        self._observer.lock_lost(why)

    def _believe_until(self, sent: float) -> float:
        return sent + self._ttl_ms / 1000 * (1 - _MARGIN)

    def keep(self, stop: threading.Event) -> None:
        """Renew until stopped; the body of a thread."""
        pause = self._ttl_ms / 1000 / 4
        wait = pause
        while not stop.wait(wait):
            try:
                self.renew()
            except JobRunnerError as error:
                self._observer.trouble("lock", error)
                wait = min(pause, _RETRY_SECONDS)
            else:
                self._observer.trouble_over("lock")
                wait = pause


@dataclass(frozen=True, slots=True)
class Renewal:
    """What one round of renewing found. `lost`: held in memory, not ours any more; `unknown`: ours, not in memory."""

    term: str
    lost: frozenset[str]
    unknown: tuple[str, ...]


class Renewer:
    """Renews the lease on every entry this consumer holds, dispatched or not, four times in its life."""

    def __init__(self, store: JobStore, consumer: str, lease_idle_ms: int, lock: Lock, held: Held, observer: Observer):
        self._stream = store.jobs_stream(consumer)
        self._pause_seconds = lease_idle_ms / 1000 / 4
        self._lock = lock
        self._held = held
        self._observer = observer
        self._poked = threading.Event()
        self.renewals: SimpleQueue[Renewal] = SimpleQueue()

    def poke(self) -> None:
        """Renew at once: after an outage, entries may have been read whose reply was lost."""
        self._poked.set()

    def round(self) -> None:
        """Renew everything once; does nothing while another watcher holds the lock."""
        term = self._lock.value()
        known = self._held.known()  # before the entries are listed: what is read later is not lost
        unknown: list[str] = []
        after: str = "-"
        while after:
            ids, after = self._stream.own_ids(_PAGE, after)
            if self._lock.value() != term:
                return
            taken = self._stream.renew(ids) if ids else set()
            unknown += [one for one in ids if one not in known and one not in taken]
            known.difference_update(one for one in ids if one not in taken)
        self.renewals.put(Renewal(term, frozenset(known), tuple(unknown)))

    def keep(self, stop: threading.Event) -> None:
        """Renew until stopped; the body of a thread. End it with `stop.set()` and `poke()`."""
        wait = self._pause_seconds
        while not stop.is_set():
            self._poked.wait(wait)
            self._poked.clear()
            if stop.is_set() or not self._lock.believed():
                wait = self._pause_seconds
                continue
            try:
                self.round()
            except LeaseLost:
                wait = self._pause_seconds
            except JobRunnerError as error:
                self._observer.trouble("leases", error)
                wait = min(self._pause_seconds, _RETRY_SECONDS)
            else:
                self._observer.trouble_over("leases")
                wait = self._pause_seconds
