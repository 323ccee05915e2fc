"""Stores uploads in a few threads: checks the spool, then hands the files to the sink. Settles nothing.

What goes wrong becomes an outcome here, for the loop to act on: an exception cannot cross from a thread.
"""

from __future__ import annotations

import queue
import threading
import time

from lib.errors import (
    LeaseLost,
    PermanentError,
    SpoolDamaged,
    StorageUnavailable,
    TransientError,
)
from lib.jobqueue.look import Look
from uploader.lease import Leases
from uploader.sink import Sink, StoreClosed
from uploader.spool_files import SpoolFiles
from uploader.work import Again, Damaged, Lost, Outcome, Refused, Stored, Work


class UploadGuard:
    """The lease on one upload."""

    def __init__(self, work: Work, leases: Leases, look: Look) -> None:
        self._work = work
        self._leases = leases
        self._look = look

    def check(self) -> None:
        """Raise LeaseLost unless the lease is believed."""
        self._leases.check(self._work.entry)

    def confirm(self) -> None:
        """Raise LeaseLost unless the job's row names this upload and our token."""
        row = self._look.row(self._work.request_id) or {}
        held = (row.get("state"), row.get("stage"), row.get("token"))
        if held != ("uploading", self._work.entry, self._work.token):
            raise LeaseLost(f"upload {self._work.entry} of {self._work.request_id} has been overtaken")


class Storer:
    """Threads that store, one upload each at a time."""

    def __init__(
        self, sink: Sink, spool: SpoolFiles, leases: Leases, look: Look, threads: int, step_seconds: float
    ) -> None:
        self._sink = sink
        self._spool = spool
        self._leases = leases
        self._look = look
        self._step_seconds = step_seconds
        self._todo: queue.SimpleQueue[Work] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[Work] = queue.SimpleQueue()
        self._threads = [
            # Daemons: a write that hangs must not keep the process from ending.
            threading.Thread(target=self._run, name=f"storer-{number}", daemon=True)
            for number in range(1, threads + 1)
        ]

    def start(self) -> Storer:
        """Store from now on."""
        for thread in self._threads:
            thread.start()
        return self

    def submit(self, work: Work) -> None:
        """Store one upload; it comes back through `finished`. One without files is done at once."""
        work.running = True
        if work.plan is not None and not work.plan.files:
            self._finish(work, self.store_one(work))
        else:
            self._todo.put(work)

    def finished(self, timeout_seconds: float) -> list[Work]:
        """Uploads that were tried, each with its outcome; waits for the first up to `timeout_seconds`."""
        found: list[Work] = []
        try:
            found.append(self._done.get(timeout=timeout_seconds) if timeout_seconds > 0 else self._done.get_nowait())
            while True:
                found.append(self._done.get_nowait())
        except queue.Empty:
            return found

    def _run(self) -> None:
        while True:
            work = self._todo.get()
            self._leases.set_deadline(work.entry, self._step_seconds)
            outcome = self.store_one(work)
            self._leases.set_deadline(work.entry, None)
            self._finish(work, outcome)

    def _finish(self, work: Work, outcome: Outcome) -> None:
        work.outcome = outcome
        work.running = False
        self._done.put(work)

    def store_one(self, work: Work) -> Outcome:
        """Check the spool, store, and say what came of it."""
        assert work.plan is not None
        guard = UploadGuard(work, self._leases, self._look)
        started = time.monotonic()
        try:
            guard.check()
            self._spool.check(work.plan)
            outputs = self._sink.store(work.plan, guard)
        except LeaseLost as error:
            return Lost(str(error))
        except SpoolDamaged as error:
            return Damaged(str(error))
        except (TransientError, StoreClosed) as error:
            return Again(error)
        except PermanentError as error:
            return Refused(error)
        except OSError as error:
            return Again(StorageUnavailable(f"{work.plan.folder}: {error}"))
        return Stored(outputs, time.monotonic() - started)
