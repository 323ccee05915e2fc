"""What becomes of jobs and batches: hand over, try again, fail, put back, split. Pure: no clock, no I/O, no chance.

The costs differ. A job that was tried and failed pays with an attempt. A job whose box, executor or holder was lost
pays nothing, within a bound of its own (`MAX_LOSSES`). A job that was being spoken each time its executor died is
suspected: it goes on alone, and after `MAX_CRASHES` of that it is poison.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lib.jobqueue.messages import ClaimedBatch, ClaimedJob
from lib.jobqueue.retries import MAX_CRASHES, MAX_LOSSES, Again, GiveUp, after_failure
from provisioner.follow import Failure

SPLIT_AFTER_LOSSES = 2
DEATHS_OF_ONE_JOB = 2
DEATHS_WITHOUT_JOB = 3

# Not the job's fault and no reason to believe that it fails elsewhere: costs no attempt.
BOX_FAULTS = frozenset({"cannot_start", "disk_full", "engine_missing", "output_unwritable"})
# Our own doing: the executor was told to stop, or a job to end.
OUR_DOING = frozenset({"cancelled", "stopped"})
VOICE_FAULTS = frozenset({"unknown_speaker", "unknown_voice"})


@dataclass(frozen=True, slots=True)
class PutBack:
    """Back to the queue, free of charge."""

    reason: str
    losses: int = 0
    crashes: int = 0
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Later:
    """Another attempt after a while."""

    delay_seconds: float
    error_type: str


@dataclass(frozen=True, slots=True)
class Fail:
    """Failed for good."""

    error_type: str
    message: str


Fate = PutBack | Later | Fail


def at_claim(batch: ClaimedBatch) -> dict[str, Fate]:
    """Decide which jobs of a batch just claimed are not to be spoken in it."""
    if len(batch.jobs) == 1:
        (job,) = batch.jobs
        return {job.request_id: poison(job.crashes)} if job.crashes >= MAX_CRASHES else {}
    if batch.losses >= SPLIT_AFTER_LOSSES:
        return {job.request_id: PutBack("batch_split", alone=True) for job in batch.jobs}
    return {job.request_id: PutBack("suspected", alone=True) for job in batch.jobs if job.crashes >= MAX_CRASHES - 1}


def poison(crashes: int) -> Fail:
    """Give up a job that was being spoken too often when its executor or its holder died."""
    return Fail("poison", f"its executor or its holder died {crashes} times while this job was being spoken")


def after_attempt(job: ClaimedJob, failure: Failure, *, voice_is_here: bool, max_attempts: int, chance: float) -> Fate:
    """Decide on a job that ended without audio. `voice_is_here`: this machine has the voice, so the box lacks what
    it was sent."""
    if failure.error_type in BOX_FAULTS:
        return after_loss(job, failure.error_type)
    permanent = failure.permanent and not (failure.error_type in VOICE_FAULTS and voice_is_here)
    verdict = after_failure(
        permanent=permanent,
        error_type=failure.error_type,
        attempt=job.attempt,
        max_attempts=max_attempts,
        chance=chance,
    )
    if isinstance(verdict, Again):
        return Later(verdict.delay_seconds, failure.error_type)
    assert isinstance(verdict, GiveUp)
    message = failure.message or failure.error_type
    return Fail(verdict.error_type, message if permanent else f"{failure.error_type}: {message}")


def after_loss(job: ClaimedJob, reason: str) -> Fate:
    """Decide on a job that lost its box or its executor through no doing of its own."""
    if job.losses + 1 >= MAX_LOSSES:
        return Fail("losses_exhausted", f"lost {job.losses + 1} times with its box or its holder, last: {reason}")
    # Alone from then on: whatever keeps this batch from being spoken must not use up the losses of innocent jobs.
    return PutBack(reason, losses=1, alone=job.losses + 1 >= SPLIT_AFTER_LOSSES)


def after_crashes(job: ClaimedJob) -> Fate:
    """Decide on a job during which the executor died twice."""
    if job.crashes + 1 >= MAX_CRASHES:
        return poison(job.crashes + 1)
    return PutBack("executor_died", crashes=1, alone=True)


@dataclass(frozen=True, slots=True)
class Restart:
    """Start the executor again, without the jobs in `leave_out`."""

    leave_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GiveBatchUp:
    """Put every job back: nothing gets spoken here."""

    reason: str


def after_death(speaking: Sequence[str], deaths_of: dict[str, int], deaths_without_job: int) -> Restart | GiveBatchUp:
    """Decide on a batch whose executor died. `deaths_of`, `deaths_without_job`: counted up to this death."""
    suspects = tuple(one for one in speaking if deaths_of.get(one, 0) >= DEATHS_OF_ONE_JOB)
    if suspects or speaking:
        return Restart(suspects)
    if deaths_without_job >= DEATHS_WITHOUT_JOB:
        return GiveBatchUp("executor_dies")
    return Restart()
