"""The second look at what was stored in S3, one lease after its job was settled; then the spool folder goes.

A holder that was paused in the middle of a PUT can complete it after it was overtaken, and S3 cannot be fenced. So the
spooled files stay until this look has found, or put back, the right ones. Owns that list; bounded, and kept over a
restart by notes in the spool.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable

from lib.errors import JobRunnerError, TransientError
from uploader.observe import Observer
from uploader.plan import UploadPlan, make_plan
from uploader.sink import Sink, StoreClosed
from uploader.spool_files import SpoolFiles

logger = logging.getLogger(__name__)

MOST = 5000
_AGAIN_SECONDS = 10.0
_TRIES = 360  # an hour of an outage; after it the folder is left to the sweep


class Checks:
    """Settled uploads that wait for their second look, and the thread that takes it."""

    def __init__(
        self,
        sink: Sink,
        spool: SpoolFiles,
        observer: Observer,
        after_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sink = sink
        self._spool = spool
        self._observer = observer
        self._after_seconds = after_seconds
        self._clock = clock
        self._waiting: list[tuple[float, int, int, UploadPlan]] = []
        self._numbers = itertools.count()  # so that a heap never compares plans
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="checks", daemon=True)

    def start(self) -> Checks:
        """Take up what an earlier run had left, and look from now on."""
        for note in self._spool.settled():
            try:
                plan = make_plan(str(note.get("request_id")), note, note)
            except JobRunnerError as error:
                logger.warning("unreadable note in the spool", extra={"reason": str(error)})
                continue
            self._add(plan)
        if self._sink.checks_later:
            self._thread.start()
        return self

    def stop(self) -> None:
        """Look no more; what waits is noted in the spool."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def settled(self, plan: UploadPlan) -> None:
        """A job's record is written: look again later, or remove its spool folder now."""
        if not plan.files:
            return
        if self._sink.checks_later:
            self._spool.note_settled(plan)
        self._add(plan)

    def _add(self, plan: UploadPlan) -> None:
        if not self._sink.checks_later:
            self._spool.remove(plan.folder)
            return
        dropped = None
        with self._changed:
            item = (self._clock() + self._after_seconds, next(self._numbers), 0, plan)
            if len(self._waiting) >= MOST:
                dropped = heapq.heapreplace(self._waiting, item)[3]
            else:
                heapq.heappush(self._waiting, item)
            self._changed.notify()
        if dropped is not None:
            logger.warning("too many wait for their second look: one goes without", extra={"folder": dropped.folder})
            self._spool.remove(dropped.folder)

    def _run(self) -> None:
        while (item := self._next()) is not None:
            self.look(*item)

    def _next(self) -> tuple[UploadPlan, int] | None:
        with self._changed:
            while not self._stopping:
                wait = self._waiting[0][0] - self._clock() if self._waiting else None
                if wait is not None and wait <= 0:
                    _, _, tries, plan = heapq.heappop(self._waiting)
                    return plan, tries
                self._changed.wait(wait)
        return None

    def look(self, plan: UploadPlan, tries: int = 0) -> None:
        """Look at one job's files again, and remove its spool folder when they are right."""
        try:
            repaired = self._sink.recheck(plan)
        except (TransientError, StoreClosed) as error:
            if tries + 1 >= _TRIES:
                logger.exception("second look given up", extra={"request_id": plan.request_id, "reason": str(error)})
                return
            with self._changed:
                heapq.heappush(self._waiting, (self._clock() + _AGAIN_SECONDS, next(self._numbers), tries + 1, plan))
            return
        except JobRunnerError as error:
            logger.exception("second look failed", extra={"request_id": plan.request_id, "reason": str(error)})
            return
        if repaired:
            self._observer.repaired(plan.request_id, repaired)
        self._spool.remove(plan.folder)
