"""Leases on batches, kept by a thread of its own, so that no blocked call of a slot can lose them.

A lease is believed until its timeout less a margin, counted from when the last renewal was *sent*. Renewing stops when
a batch's deadline has passed: a slot that hangs does not hold its batches for ever. Refuses to act: slots ask `check`.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field

from lib.errors import JobRunnerError, LeaseLost, QueueUnavailable, TransientError
from lib.jobqueue.store import JobStore

logger = logging.getLogger(__name__)

RENEWALS_PER_LEASE = 4
MARGIN_SHARE = 1 / 6


@dataclass(eq=False, slots=True)
class Lease:
    """One batch this slot holds. Times are monotonic seconds."""

    batch_id: str
    token: str
    sent_at: float
    deadline: float | None = None
    members: frozenset[str] | None = None  # request ids still in the batch, as of the last renewal
    lost: bool = False
    error: JobRunnerError | None = field(default=None)


class Renewer:
    """Renews the leases of one slot."""

    def __init__(self, store: JobStore, consumer: str, lease_ms: int) -> None:
        self._store = store
        self._consumer = consumer
        self._lease_seconds = lease_ms / 1000
        self._leases: list[Lease] = []
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name=f"renewer {consumer}", daemon=True)

    def start(self) -> Renewer:
        """Begin to renew."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """End the thread; leases are left to whoever released or lost them."""
        self._ended = True
        self._wake.set()

    def hold(self, batch_id: str, token: str, sent_at: float, *, urgent: bool) -> Lease:
        """Keep a batch claimed by a call sent at `sent_at`. `urgent`: its entry may have been idle for long."""
        lease = Lease(batch_id, token, sent_at)
        with self._lock:
            self._leases.append(lease)
        if urgent:
            self._wake.set()
        return lease

    def drop(self, lease: Lease) -> None:
        """Stop renewing."""
        with self._lock:
            if lease in self._leases:
                self._leases.remove(lease)

    def drop_all(self) -> None:
        """Stop renewing anything."""
        with self._lock:
            self._leases.clear()

    def check(self, lease: Lease) -> None:
        """Raise where the lease may not be acted on.

        Raises:
            LeaseLost: another holder has the batch, or nobody.
            QueueUnavailable: no renewal got through for so long that this may be the case.
        """
        if lease.lost:
            raise LeaseLost(f"batch {lease.batch_id} is another holder's")
        if lease.error is not None:
            raise lease.error
        if time.monotonic() > lease.sent_at + self._lease_seconds * (1 - MARGIN_SHARE):
            raise QueueUnavailable(f"the lease on batch {lease.batch_id} could not be renewed in time")

    def _run(self) -> None:
        while not self._ended:
            self._wake.wait(self._lease_seconds / RENEWALS_PER_LEASE)
            self._wake.clear()
            if not self._ended:
                self.renew_all()

    def renew_all(self) -> None:
        """Renew every lease once, unless a batch of this slot is past its deadline."""
        with self._lock:
            leases = list(self._leases)
        now = time.monotonic()
        if any(lease.deadline is not None and lease.deadline < now for lease in leases):
            return
        for lease in leases:
            sent_at = time.monotonic()
            try:
                lease.members = frozenset(self._store.renew_batch(lease.batch_id, self._consumer, lease.token))
                lease.sent_at = sent_at
                lease.error = None
            except LeaseLost:
                lease.lost = True
            except TransientError as error:
                logger.debug("a renewal did not get through", extra={"batch_id": lease.batch_id, "error": str(error)})
            except JobRunnerError as error:
                lease.error = error
