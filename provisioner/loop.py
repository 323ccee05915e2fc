"""One slot: it leases the batch it speaks and the next one, and takes both through their lives.

Owns the waiting, the retrying and the order in which batches are taken: its own first (at start and after each
reconnect), then new ones, then abandoned ones. The three error families are caught here and nowhere else. After an
outage nothing is remembered: what is still ours is claimed again and found where it was.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable

from lib.errors import BoxLost, JobRunnerError, LeaseLost, QueueCorrupt
from lib.jobqueue.messages import BatchMessage, Entry
from lib.jobqueue.store import new_token
from lib.jobqueue.streams import WorkStream
from provisioner.box import NOTHING_LOST
from provisioner.run import BatchRun, Tools

logger = logging.getLogger(__name__)

TICK_SECONDS = 0.05
READ_BLOCK_MS = 500
NEXT_EVERY_SECONDS = 0.25
BEAT_EVERY_SECONDS = 3.0
FIRST_BACK_OFF_SECONDS = 0.5
LAST_BACK_OFF_SECONDS = 10.0
LAST_PENALTY_SECONDS = 60.0
_BATCH_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")


class Slot:
    """A slot. `run` is its thread's body."""

    def __init__(
        self,
        name: str,
        tools: Tools,
        stream: WorkStream,
        stop: threading.Event,
        *,
        family: str,
        lease_ms: int,
        stop_seconds: float,
    ) -> None:
        self.name = name
        self.last_round = time.monotonic()
        self.paused: str | None = None
        self._tools = tools
        self._stream = stream
        self._stop = stop
        self._family = family  # what the names of this provisioner's slots begin with
        self._lease_ms = lease_ms
        self._stop_seconds = stop_seconds
        self._current: BatchRun | None = None
        self._next: BatchRun | None = None
        self._taken_back: list[Entry] = []
        self._loose: set[str] = set()  # batches in our hands when Redis went away
        self._troubled = False
        self._beaten_at = self._looked_at = 0.0
        self._idle_since: float | None = None
        self._fruitless = 0
        self._not_before = 0.0
        self._pause = threading.Event()

    def run(self) -> None:
        """Work until told to stop."""
        back_off = FIRST_BACK_OFF_SECONDS
        self._tools.renewer.start()
        try:
            while not self._stop.is_set():
                self.last_round = time.monotonic()
                try:
                    self._connect()
                    while not self._stop.is_set():
                        self._turn()
                        back_off = FIRST_BACK_OFF_SECONDS
                except JobRunnerError as error:
                    self._interrupted(error)
                    self._stop.wait(back_off)
                    back_off = min(back_off * 2, LAST_BACK_OFF_SECONDS)
            self._end()
        finally:
            self._tools.renewer.stop()

    def _connect(self) -> None:
        """Make sure of the group, and take back what is ours; what was ours and is no more is ended on the box."""
        self._stream.ensure()
        self._taken_back = []
        after = "-"
        while True:
            page, after = self._stream.own(100, after)
            self._taken_back += page
            if not after:
                break
        still = {entry.fields.get("batch_id") for entry in self._taken_back}
        for batch_id in sorted(self._loose):
            if batch_id not in still:
                self._abandon(batch_id)
            self._loose.discard(batch_id)
        if self._troubled:
            self._troubled = False
            self._tools.observer.queue_back(self.name)

    def _interrupted(self, error: JobRunnerError) -> None:
        self._tools.observer.queue_trouble(self.name, error, first=not self._troubled)
        self._troubled = True
        self._tools.renewer.drop_all()
        for run in (self._current, self._next):
            if run is not None:
                self._loose.add(run.batch_id)
        if self._current is not None:
            self._lay_down()
        self._next = None

    def _turn(self) -> None:
        """Go round once: lease, follow, finish."""
        self._beat()
        if self._current is None:
            run, self._next = self._next or self._lease(READ_BLOCK_MS), None
            if run is not None:
                self._take_up(run)
            return
        now = time.monotonic()
        if self._next is None and now - self._looked_at >= NEXT_EVERY_SECONDS:
            self._looked_at = now
            self._next = self._lease(0)
        run = self._current
        moved = self._safely(run, run.advance)
        if not run.lost and not run.open:
            self._settle(run)
        elif not moved:
            self._stop.wait(TICK_SECONDS)

    def _settle(self, run: BatchRun) -> None:
        """Finish a batch of which no job is open."""
        self._safely(run, run.finish)
        self._count_fruit(run)
        if run is self._current:
            self._lay_down()

    def _beat(self) -> None:
        self.last_round = now = time.monotonic()
        if now - self._beaten_at >= BEAT_EVERY_SECONDS:
            self._tools.store.beat(f"slot/{self.name}", f"spool/{self._tools.collector.spool}")
            self._beaten_at = now

    def _take_up(self, run: BatchRun) -> None:
        now = time.monotonic()
        self._tools.observer.batch_begun(0.0 if self._idle_since is None else now - self._idle_since)
        self._current = run
        self._safely(run, lambda: run.begin(self._start_next))

    def _lay_down(self) -> None:
        self._current = None
        self._idle_since = time.monotonic()
        self._tools.observer.batch_laid_down()

    def _start_next(self) -> None:
        """The box has spoken the current batch: let it begin the next while we collect."""
        following = self._next
        if following is not None:
            self._safely(following, following.start)

    def _count_fruit(self, run: BatchRun) -> None:
        """A box on which nothing gets spoken must not eat its way through the queue."""
        if run.gave_up is None or run.handed_over:
            self._fruitless = 0
            return
        self._fruitless += 1
        self._not_before = time.monotonic() + min(2.0**self._fruitless, LAST_PENALTY_SECONDS)
        logger.warning("a batch was given up", extra={"slot": self.name, "reason": run.gave_up})

    def _safely(self, run: BatchRun, step: Callable[[], bool | None]) -> bool:
        """Take a step of a batch, and return its answer; a lost lease or box ends the batch, not the slot."""
        try:
            return bool(step())
        except LeaseLost:
            run.lost = True
            self._forget(run)
            self._abandon(run.batch_id)
            self._tools.observer.batch_ended(self.name, run.batch_id, "lost")
        except BoxLost as error:
            reason = error.error_type
            logger.warning("box lost", extra={"slot": self.name, "batch_id": run.batch_id, "error": str(error)})
            self._safely(run, lambda: run.give_up(reason))
        return False

    def _forget(self, run: BatchRun) -> None:
        self._tools.renewer.drop(run.lease)
        if run is self._current:
            self._lay_down()
        if run is self._next:
            self._next = None

    def _abandon(self, batch_id: str) -> None:
        """End what runs here of a batch that is no longer this slot's, unless another slot of ours goes on with it."""
        self._loose.add(batch_id)
        (row,) = self._tools.look.batch_rows([batch_id])
        consumer = str(row.get("consumer")) if row is not None else ""
        if not consumer.startswith(self._family) or consumer == self.name:
            self._tools.box.remove(batch_id)
        self._loose.discard(batch_id)

    # Leasing

    def _lease(self, block_ms: int) -> BatchRun | None:
        """Return the next batch of this slot, prepared, or None when there is none to be had."""
        if self._taken_back:
            return self._claim(self._taken_back.pop(0), taken_back=True)
        if self._must_wait():
            self._stop.wait(block_ms / 1000)
            return None
        entries = self._stream.read(1, block_ms)
        if entries:
            return self._claim(entries[0], taken_back=False)
        entries = self._stream.reclaim(self._lease_ms, 1, max(self._lease_ms // 4, 1))
        return self._claim(entries[0], taken_back=True) if entries else None

    def _must_wait(self) -> bool:
        """Whether nothing may be leased now; the reason is shown."""
        reason = self._tools.collector.trouble() or self._tools.box.trouble()
        if reason is None and time.monotonic() < self._not_before:
            reason = "the last batch could not be spoken here"
        if reason != self.paused:
            if (reason is None) != (self.paused is None):
                self._tools.observer.paused(self.name, reason)
            self.paused = reason
        return reason is not None

    def _claim(self, entry: Entry, *, taken_back: bool) -> BatchRun | None:
        try:
            message = _parse(entry)
        except QueueCorrupt as error:
            logger.error("dropped a foreign entry", extra={"slot": self.name, "error": str(error)})  # noqa: TRY400
            self._stream.drop([entry.id])
            return None
        traces = self._tools.box.traces(message.batch_id)
        token, sent_at = new_token(), time.monotonic()
        adopted = traces in NOTHING_LOST
        try:
            claimed = self._tools.store.claim_batch(message, self.name, token, adopted=adopted)
        except LeaseLost:
            return None
        if claimed is None:
            self._tools.box.remove(message.batch_id)
            return None
        lease = self._tools.renewer.hold(claimed.batch_id, token, sent_at, urgent=taken_back)
        run = BatchRun(self._tools, self.name, claimed, lease)
        self._tools.observer.batch_claimed(self.name, claimed.batch_id, len(claimed.jobs), claimed.losses, traces.value)
        self._loose.add(run.batch_id)  # should Redis go away in the middle
        self._safely(run, run.prepare)
        if not run.lost and not run.open:
            self._settle(run)
        self._loose.discard(run.batch_id)
        return run if run.open and not run.lost else None

    # Stopping

    def _end(self) -> None:
        """Hand back the next batch at once; let the job being spoken end, collect it, and hand back the rest."""
        try:
            if self._next is not None:
                following, self._next = self._next, None
                self._safely(following, following.release)
            if self._current is not None:
                self._wait_for_the_job(self._current)
            if self._current is not None:
                run = self._current
                self._safely(run, run.release)
                if self._current is not None:
                    self._lay_down()
        except JobRunnerError as error:
            logger.warning("stopped without the queue", extra={"slot": self.name, "error": str(error)})
            for one in (self._current, self._next):
                if one is not None:
                    self._tools.box.kill(one.batch_id)

    def _wait_for_the_job(self, run: BatchRun) -> None:
        spoken_now = set(run.speaking)
        limit = time.monotonic() + self._stop_seconds
        while self._current is run and spoken_now & run.speaking.keys() & run.open.keys():
            self.last_round = now = time.monotonic()
            if now >= limit:
                return
            if not self._safely(run, run.advance):
                self._pause.wait(TICK_SECONDS)


def _parse(entry: Entry) -> BatchMessage:
    message = BatchMessage.parse(entry)
    if not _BATCH_ID.match(message.batch_id):  # it names a folder
        raise QueueCorrupt(f"batches stream entry {entry.id}: {message.batch_id!r:.100} is no batch id")
    return message
