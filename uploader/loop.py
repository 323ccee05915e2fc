"""The uploader's loop: takes uploads, has them stored, and settles them. Owns the order, the waiting and the retrying.

Take (own pending entries first, else new ones, else another's that fell silent), claim with a fresh token, store in
threads, settle. A store that fails is tried again with back-off, each job on its own; a queue that fails is waited for.
"""

from __future__ import annotations

import logging
import queue
import random
import threading
import time
from collections.abc import Callable, Sequence

from lib.errors import (
    JobRunnerError,
    QueueCorrupt,
    QueueFull,
    QueueRefused,
    QueueUnavailable,
    SpoolDamaged,
    StorageMismatch,
    StorageRefused,
    StorageUnavailable,
)
from lib.jobqueue.messages import Entry, UploadMessage
from lib.jobqueue.store import JobStore, new_token
from lib.jobqueue.streams import WorkStream
from uploader.follow import Follower
from uploader.lease import Leases
from uploader.observe import Observer
from uploader.plan import make_plan
from uploader.settings import UploaderSettings
from uploader.settle import Settler
from uploader.sink import Sink, StoreClosed
from uploader.storer import Storer
from uploader.topic import Topics
from uploader.work import Again, Damaged, Lost, Refused, Stored, Work

logger = logging.getLogger(__name__)

_STORE_ERRORS = (StorageUnavailable, StorageMismatch, StoreClosed)
_QUEUE_ERRORS = (QueueUnavailable, QueueFull, QueueRefused, QueueCorrupt)
_BLOCK_SECONDS = 1.0
_FOLLOW_SECONDS = 0.5
_LENGTH_SECONDS = 5.0


class UploadLoop:
    """One uploader at work. `topics` and `follower`: the disk sink's, else None."""

    def __init__(
        self,
        settings: UploaderSettings,
        store: JobStore,
        spool_name: str,
        stream: WorkStream,
        sink: Sink,
        leases: Leases,
        storer: Storer,
        settler: Settler,
        observer: Observer,
        *,
        topics: Topics | None,
        follower: Follower | None,
        beat: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._store = store
        self._spool_name = spool_name
        self._stream = stream
        self._sink = sink
        self._leases = leases
        self._storer = storer
        self._settler = settler
        self._observer = observer
        self._topics = topics
        self._follower = follower
        self._beat = beat
        self._works: dict[str, Work] = {}
        self._connected = False
        self._own_cursor = "-"  # where to go on with our own pending entries; "" when through
        self._probed = False
        self._asking: queue.SimpleQueue[JobRunnerError | None] | None = None
        self._waits = 0
        self._next = {"reclaim": 0.0, "follow": 0.0, "length": 0.0}

    def run(self, stop: threading.Event) -> None:
        """Work until `stop`, then end what is running, within its time.

        Raises:
            StoreClosed: at start, before anything could be stored.
        """
        while not stop.is_set():
            try:
                self.turn(stop)
            except _QUEUE_ERRORS as error:
                self._queue_failed(error)
                self._pause(stop)
            except (StorageUnavailable, StorageRefused) as error:
                if not self._probed and isinstance(error, StorageRefused):
                    raise
                self._observer.store_failed(error)
                self._pause(stop)
            else:
                if self._probed:
                    self._all_well()
        self._finish()

    def turn(self, stop: threading.Event) -> None:
        """Go round once."""
        if not self._leases.overdue():
            self._beat()
        self._observer.loop_turned()
        if not self._probed and not self._probe():
            return
        if not self._connected:
            self._stream.ensure()
            self._leases.beat()
            self._connected = True
            self._own_cursor = "-"
        self._collect(0.05 if self._room() == 0 or self._running() else 0.0)
        self._settle()
        self._submit()
        self._side_tasks()
        if not stop.is_set():
            self._take()
            self._submit()

    def _probe(self) -> bool:
        """Whether the store has answered once. A thread asks: a store that hangs must not keep us from ending."""
        if self._asking is None:
            self._asking = queue.SimpleQueue()
            threading.Thread(target=self._ask, args=(self._asking,), name="probe", daemon=True).start()
        try:
            error = self._asking.get(timeout=0.2)
        except queue.Empty:
            return False
        self._asking = None
        if error is not None:
            raise error
        self._probed = True
        return True

    def _ask(self, answer: queue.SimpleQueue[JobRunnerError | None]) -> None:
        try:
            self._sink.probe()
        except JobRunnerError as error:
            answer.put(error)
        else:
            answer.put(None)

    # Taking

    def _room(self) -> int:
        return self._settings.uploader_batch - len(self._works)

    def _running(self) -> bool:
        return any(work.running for work in self._works.values())

    def _take(self) -> None:
        if self._room() <= 0:
            return
        sent = time.monotonic()
        entries = self._own() if self._own_cursor else []
        if not entries and self._due("reclaim", self._settings.uploader_lease_ms / 4000):
            lease = self._settings.uploader_lease_ms
            entries = self._stream.reclaim(lease, self._room(), lease // 4)
        if not entries:
            entries = self._stream.read(self._room(), self._block_ms())
        if entries:
            self._claim([entry for entry in entries if entry.id not in self._works], sent)

    def _own(self) -> list[Entry]:
        """What we held before: renewed first, for nobody has renewed it while we were away."""
        entries, self._own_cursor = self._stream.own(self._room(), self._own_cursor)
        fresh = [entry for entry in entries if entry.id not in self._works]
        lost = self._stream.renew([entry.id for entry in fresh]) if fresh else set()
        return [entry for entry in fresh if entry.id not in lost]

    def _block_ms(self) -> int:
        """How long to wait for new uploads: not at all while others need us."""
        if self._own_cursor or self._running():
            return 0
        wait = min([_BLOCK_SECONDS, *(work.due - time.monotonic() for work in self._works.values())])
        return max(0, int(wait * 1000))

    def _claim(self, entries: Sequence[Entry], sent: float) -> None:
        messages = []
        for entry in entries:
            try:
                messages.append(UploadMessage.parse(entry))
            except QueueCorrupt as error:
                self._observer.dropped(entry.id, str(error))
                self._stream.drop([entry.id])  # if a job belongs to it, the audit puts that back from its row
        if not messages:
            return
        token = new_token()
        for claim in self._store.claim_uploads(self._spool_name, self._stream.consumer, token, messages):
            work = Work(claim, token, None)
            try:
                work.plan = make_plan(work.request_id, claim.message.payload, claim.row)
            except SpoolDamaged as error:
                work.outcome = Damaged(str(error))
            except StorageRefused as error:
                work.outcome = Refused(error)
            self._works[work.entry] = work
            self._leases.hold(work.entry, sent)

    # Storing

    def _submit(self) -> None:
        now = time.monotonic()
        for work in self._works.values():
            if not work.running and work.outcome is None and work.due <= now:
                self._storer.submit(work)

    def _collect(self, timeout_seconds: float) -> None:
        for work in self._storer.finished(timeout_seconds):
            if isinstance(work.outcome, Stored) and work.plan is not None and work.plan.files:
                size = sum(file.size for file in work.plan.files)
                self._observer.stored(len(work.plan.files), size, work.outcome.seconds)
                self._observer.store_recovered()
            if self._works.get(work.entry) is not work:
                logger.warning("a step ended after its upload was let go", extra={"request_id": work.request_id})

    def _settle(self) -> None:
        now = time.monotonic()
        ready = [work for work in self._works.values() if work.outcome is not None and work.due <= now]
        stored = []
        for work in ready:
            outcome = work.outcome
            if isinstance(outcome, Stored):
                stored.append(work)
            elif isinstance(outcome, Again):
                self._try_again(work, outcome.error)
            elif isinstance(outcome, Lost):
                self._lost(work, outcome)
            elif isinstance(outcome, Damaged):
                self._settler.put_back(work, outcome)
                self._let_go(work)
            elif isinstance(outcome, Refused):
                self._settler.refuse(work, outcome)
                self._let_go(work)
        if stored:
            self._complete(stored)

    def _complete(self, works: list[Work]) -> None:
        try:
            self._settler.complete(works)
        except (StorageUnavailable, StorageRefused) as error:
            # The files are there, the topic's summary is not: later, and visibly.
            self._observer.store_failed(error)
            for work in works:
                self._put_off(work)
            return
        for work in works:
            self._let_go(work)

    def _try_again(self, work: Work, error: JobRunnerError) -> None:
        work.outcome = None
        self._put_off(work)
        if isinstance(error, _STORE_ERRORS):
            self._observer.store_failed(error, work.request_id)
        else:
            self._queue_failed(error)

    def _put_off(self, work: Work) -> None:
        chance = random.random()  # noqa: S311 - jitter, no secret
        work.put_off(time.monotonic(), self._settings.uploader_retry_max_seconds, chance)

    def _lost(self, work: Work, outcome: Lost) -> None:
        """Let it go; if it is ours after all (Redis was away for a while), it comes back with a new token."""
        self._observer.settled("lost", work.request_id, outcome.reason)
        self._let_go(work)
        self._own_cursor = "-"

    def _let_go(self, work: Work) -> None:
        self._works.pop(work.entry, None)
        self._leases.release(work.entry)

    # Beside it

    def _due(self, name: str, every_seconds: float) -> bool:
        now = time.monotonic()
        if now < self._next[name]:
            return False
        self._next[name] = now + every_seconds
        return True

    def _side_tasks(self) -> None:
        if self._due("length", _LENGTH_SECONDS):
            self._observer.waiting(self._stream.length())
        if self._topics is None or self._follower is None:
            return
        if self._due("follow", _FOLLOW_SECONDS):
            self._follower.step()
        self._topics.flush()

    def _all_well(self) -> None:
        """A turn went through: what was waited for is over, unless an upload still waits for the store."""
        self._waits = 0
        self._observer.queue_recovered()
        if not any(work.tries for work in self._works.values()):
            self._observer.store_recovered()

    def _queue_failed(self, error: JobRunnerError) -> None:
        self._observer.queue_failed(error)
        self._connected = False

    def _pause(self, stop: threading.Event) -> None:
        self._waits += 1
        stop.wait(min(10.0, 0.25 * 2 ** min(self._waits, 10)))

    def _finish(self) -> None:
        """End the uploads that are being stored; the rest stays pending and is taken back at the next start."""
        deadline = time.monotonic() + self._settings.uploader_stop_seconds
        while self._works and time.monotonic() < deadline:
            waiting = [work for work in self._works.values() if not work.running and work.outcome is None]
            for work in waiting:
                self._let_go(work)
            try:
                self._collect(0.2)
                self._settle()
            except (JobRunnerError, OSError) as error:
                logger.warning("could not settle before the end", extra={"reason": str(error)})
                break
        if self._topics is not None:
            try:
                self._topics.flush(all_of_them=True)
            except JobRunnerError as error:
                logger.warning("could not fold the journals", extra={"reason": str(error)})
        logger.info("uploader stops", extra={"left_pending": len(self._works)})
