"""One batch in a slot's hands: prepared, begun, followed to its end, and every job of it brought to its next place.

Owns the order of effects on box, spool and queue, and nothing that outlives the process: whatever is interrupted here
is claimed again and found where it was, in Redis, in the batch's folder and in its events. Lets LeaseLost, BoxLost and
the queue's errors pass to the slot.
"""

from __future__ import annotations

import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lib.errors import BadArtefact, BoxLost, SpoolFull
from lib.jobqueue.look import Look
from lib.jobqueue.messages import ClaimedBatch, ClaimedJob
from lib.jobqueue.spec import JobSpec
from lib.jobqueue.store import JobStore, Requeue
from lib.voices import speaker_name, voice_slugs
from provisioner import decide
from provisioner.box import Box, Pushed
from provisioner.collect import Collected, Collector
from provisioner.decide import Fail, Fate, PutBack
from provisioner.fates import holder, write_fates
from provisioner.follow import ExecutorStarted, Failure, Finished, Follower, Started
from provisioner.lease import Lease, Renewer
from provisioner.observe import Observer
from provisioner.payload import upload_payload
from provisioner.prepare import prepare

logger = logging.getLogger(__name__)

HAND_OVER_JOBS = 200
HAND_OVER_CHARACTERS = 2_000_000
SPOOL_RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Tools:
    """What a slot works with."""

    store: JobStore
    look: Look
    box: Box
    collector: Collector
    renewer: Renewer
    observer: Observer
    cache: Path
    max_attempts: int
    margin_seconds: float


class BatchRun:
    """A claimed batch. `open`: jobs that are still ours to bring somewhere."""

    def __init__(self, tools: Tools, slot: str, claimed: ClaimedBatch, lease: Lease) -> None:
        self.batch_id = claimed.batch_id
        self.open: dict[str, ClaimedJob] = {job.request_id: job for job in claimed.jobs}
        self.speaking: dict[str, str | None] = {}  # request id -> when it was begun, as the box says
        self.handed_over = 0
        self.gave_up: str | None = None
        self.lost = False
        self.lease = lease
        self._tools = tools
        self._slot = slot
        self._claimed = claimed
        self._specs: dict[str, JobSpec] = {}
        self._pushed = Pushed("", {})
        self._follower = Follower()
        self._uncollected: list[Finished] = []
        self._collect_after = 0.0
        self._begun_at: dict[str, str | None] = {}
        self._deaths_of: Counter[str] = Counter()
        self._deaths_without_job = 0
        self._spoken_to: Callable[[], None] = lambda: None

    # The steps of a batch's life

    def prepare(self) -> None:
        """Settle the jobs that are not to be spoken here, and push the others to the box."""
        fates: dict[str, Fate] = dict(decide.at_claim(self._claimed))
        prepared = prepare([job for job in self._claimed.jobs if job.request_id not in fates])
        fates |= {one: Fail("invalid_job", what) for one, what in prepared.bad.items()}
        fates |= {one: PutBack("output_name_clash", alone=True) for one in prepared.apart}
        self._settle(fates)
        self._specs = prepared.specs
        if self.open:
            self._pushed = self._tools.box.push(self.batch_id, list(self._specs.values()))

    def begin(self, spoken: Callable[[], None]) -> None:
        """Go to work: collect what is finished already, then start the executor.

        `spoken` is called when the last job has ended, before its files are collected: the box is free then.
        """
        self._spoken_to = spoken
        self._tools.renewer.check(self.lease)
        self._drop_those_that_left()
        self.lease.deadline = time.monotonic() + self._tools.margin_seconds + self._seconds_allowed()
        while self._poll():  # all that an earlier holder has missed
            pass
        self.start()

    def start(self) -> None:
        """Start the executor for the open jobs, unless it is alive."""
        if self.open:
            self._tools.renewer.check(self.lease)
            self._tools.box.start(self.batch_id, self._not_open())

    def advance(self) -> bool:
        """Take one look and act on it; whether anything happened."""
        self._tools.renewer.check(self.lease)
        left = self._drop_those_that_left()
        if self.lease.deadline is not None and time.monotonic() > self.lease.deadline:
            self.give_up("batch_deadline")
            return True
        alive = self._tools.box.alive(self.batch_id)
        moved = self._poll() or left
        if self.open and not alive and not moved and not self._uncollected:
            self._after_death()
            return True
        return moved

    def give_up(self, reason: str) -> None:
        """End the executor; what it finished is collected, the rest goes back to the queue as lost with its box."""
        self.gave_up = reason
        with suppress(BoxLost):
            self._tools.box.kill(self.batch_id)
            self._poll()
        self._settle({one: decide.after_loss(job, reason) for one, job in self.open.items()})

    def finish(self) -> None:
        """Settle the batch, of which no job is open any more."""
        left = self._tools.store.finish_batch(self.batch_id, self.lease.token)
        if left:
            logger.error("jobs were left over in a batch", extra={"batch_id": self.batch_id, "jobs": sorted(left)})
            again = [Requeue(one, self.batch_id, "left_over", losses=1) for one in sorted(left)]
            self._tools.store.requeue(holder(self.lease), again)
            self._tools.store.finish_batch(self.batch_id, self.lease.token)
        self._laid_down("given_up" if self.gave_up else "finished")

    def release(self) -> None:
        """Stop cleanly: end the executor, collect what it finished, and hand the rest back to any slot."""
        self._tools.box.kill(self.batch_id)
        self._tools.renewer.check(self.lease)
        self._poll()
        if not self.open:
            self.finish()
        elif self._uncollected:  # no room in the spool: what was spoken stays here for the next start of this slot
            self._tools.renewer.drop(self.lease)
            self._tools.observer.batch_ended(self._slot, self.batch_id, "left")
        else:
            self._release()

    def _release(self) -> None:
        self._tools.store.release_batch(self.batch_id, self.lease.token)
        self._laid_down("released")

    def _laid_down(self, outcome: str) -> None:
        self._tools.renewer.drop(self.lease)
        self._tools.box.remove(self.batch_id)
        self._tools.observer.batch_ended(self._slot, self.batch_id, outcome)

    # What the executor did

    def _poll(self) -> bool:
        """Read new events, and bring what has ended to its next place; whether there was anything."""
        data = self._tools.box.read_events(self.batch_id, self._follower.offset)
        try:
            events = self._follower.feed(data)
        except BadArtefact as error:
            raise BoxLost(f"batch {self.batch_id}: {error}") from error
        begun: list[str] = []
        ended: dict[str, Finished] = {}
        for event in events:
            if isinstance(event, ExecutorStarted):
                self.speaking.clear()
            elif isinstance(event, Started) and event.request_id in self.open:
                begun.append(event.request_id)
                ended.pop(event.request_id, None)  # an executor started anew does it again
                self.speaking[event.request_id] = self._begun_at[event.request_id] = event.at
            elif isinstance(event, Finished) and event.request_id in self.open:
                ended[event.request_id] = event
                self.speaking.pop(event.request_id, None)
        self._note_begun([one for one in dict.fromkeys(begun) if one in self.speaking])
        self._after_ends(list(ended.values()))
        collected = self._collect() if self._uncollected else False
        return bool(events) or collected

    def _note_begun(self, begun: Sequence[str]) -> None:
        if begun:
            answers = self._tools.store.start_jobs(self.batch_id, self.lease.token, begun)
            for request_id, ours in zip(begun, answers, strict=True):
                if not ours:
                    self._leave(request_id)

    def _after_ends(self, ended: Sequence[Finished]) -> None:
        """Sort jobs that have ended. One that ended by our own doing stays open until its batch is decided on."""
        fates: dict[str, Fate] = {}
        waiting = {event.request_id for event in self._uncollected}
        for event in ended:
            if event.request_id in waiting:
                continue
            if event.failure is None:
                self._uncollected.append(event)
                waiting.add(event.request_id)
            elif event.failure.error_type not in decide.OUR_DOING:
                fates[event.request_id] = self._after_failure(event.request_id, event.failure)
        if ended:
            self._deaths_without_job = 0
            if not self.open.keys() - waiting - fates.keys():
                self._spoken_to()
        self._settle(fates)

    def _after_failure(self, request_id: str, failure: Failure) -> Fate:
        self._tools.observer.attempt_failed(failure.error_type)
        return decide.after_attempt(
            self.open[request_id],
            failure,
            voice_is_here=self._voice_is_here(request_id),
            max_attempts=self._tools.max_attempts,
            chance=random.random(),  # noqa: S311 - jitter, no secret
        )

    def _voice_is_here(self, request_id: str) -> bool:
        spec = self._specs[request_id]
        if spec["voice"] is not None:
            return spec["voice"] in voice_slugs(self._tools.cache)
        return speaker_name(spec["speaker"] or "") is not None

    # Collecting

    def _collect(self) -> bool:
        """Spool finished jobs and hand them over; a full spool keeps them waiting, at no cost."""
        now = time.monotonic()
        if now < self._collect_after:
            return False
        ready: list[tuple[Finished, Collected]] = []
        fates: dict[str, Fate] = {}
        while self._uncollected:
            event = self._uncollected[0]
            if event.request_id in self.open:
                try:
                    ready.append((event, self._collect_one(event)))
                except BadArtefact as error:
                    fates[event.request_id] = self._after_failure(
                        event.request_id, Failure(error.error_type, False, str(error))
                    )
                except SpoolFull as error:
                    self._wait_for_room(now, error)
                    break
            self._uncollected.pop(0)
        if not self._uncollected:
            self._collect_after = 0.0
        self._hand_over(ready)
        self._settle(fates)
        return bool(ready or fates)

    def _collect_one(self, event: Finished) -> Collected:
        spec = self._specs[event.request_id]
        return self._tools.collector.collect(self._tools.box, self.batch_id, self.lease.token, spec)

    def _wait_for_room(self, now: float, error: SpoolFull) -> None:
        if self._collect_after == 0.0:
            logger.warning("finished audio waits for room", extra={"batch_id": self.batch_id, "error": str(error)})
        self._collect_after = now + SPOOL_RETRY_SECONDS
        if self.lease.deadline is not None:
            self.lease.deadline += SPOOL_RETRY_SECONDS  # waiting for the uploaders is no fault of the box

    def _hand_over(self, ready: Sequence[tuple[Finished, Collected]]) -> None:
        part: list[tuple[Finished, Collected, str]] = []
        size = 0
        for event, collected in ready:
            payload = upload_payload(
                self.open[event.request_id],
                self._specs[event.request_id],
                collected,
                event,
                started_at=self._begun_at.get(event.request_id),
                run_id=self._pushed.run_id,
                batch_id=self.batch_id,
                token=self.lease.token,
                box=self._tools.box,
            )
            part.append((event, collected, payload))
            size += len(payload)
            if len(part) >= HAND_OVER_JOBS or size >= HAND_OVER_CHARACTERS:
                self._hand_over_part(part)
                part, size = [], 0
        if part:
            self._hand_over_part(part)

    def _hand_over_part(self, part: Sequence[tuple[Finished, Collected, str]]) -> None:
        uploads = [(event.request_id, payload) for event, _, payload in part]
        answers = self._tools.store.hand_over(self.batch_id, self.lease.token, self._tools.collector.spool, uploads)
        for (event, collected, _), answer in zip(part, answers, strict=True):
            if answer == "stale":
                self._tools.collector.discard(collected)
                self._leave(event.request_id)
                continue
            self.open.pop(event.request_id, None)
            self.handed_over += 1
            self._tools.observer.job_handed_over(event.request_id, event.seconds, collected.audio_seconds)

    # Leaving

    def _drop_those_that_left(self) -> bool:
        """Let go of jobs that an operator cancelled, or flushed, since the last renewal."""
        members = self.lease.members
        gone = [] if members is None else [one for one in self.open if one not in members]
        for request_id in gone:
            self._leave(request_id)
        return bool(gone)

    def _leave(self, request_id: str) -> None:
        self._tools.box.cancel(self.batch_id, request_id)
        self.open.pop(request_id, None)
        self.speaking.pop(request_id, None)
        self._tools.observer.job_gone(request_id)

    def _after_death(self) -> None:
        """The executor is gone and jobs are open: start it again, or find out who is to blame."""
        speaking = [one for one in self.speaking if one in self.open]
        self._tools.observer.executor_died(self._slot, self.batch_id, speaking)
        self._deaths_of.update(speaking)
        if not speaking:
            self._deaths_without_job += 1
        self.speaking.clear()
        verdict = decide.after_death(speaking, self._deaths_of, self._deaths_without_job)
        if isinstance(verdict, decide.GiveBatchUp):
            self.give_up(verdict.reason)
            return
        self._settle({one: decide.after_crashes(self.open[one]) for one in verdict.leave_out})
        self.start()

    def _settle(self, fates: Mapping[str, Fate]) -> None:
        """Write the fates of open jobs."""
        if not fates:
            return
        tools, jobs = self._tools, {one: self.open[one] for one in fates}
        ours = write_fates(tools.store, tools.look, self.lease, jobs, fates, run_id=self._pushed.run_id or None)
        for request_id, fate in fates.items():
            self.open.pop(request_id)
            self.speaking.pop(request_id, None)
            tools.observer.job_left(request_id, fate, ours=ours[request_id])

    def _not_open(self) -> list[str]:
        return [one for one in self._pushed.deadlines if one not in self.open]

    def _seconds_allowed(self) -> float:
        return sum(self._pushed.deadlines.get(one, 0.0) for one in self.open)
