"""What happened, as log lines and metrics: the one place of the provisioner that knows both."""

from __future__ import annotations

import logging

from lib.errors import JobRunnerError
from lib.telemetry.metrics import ProvisionerMetrics
from provisioner.decide import Fail, Fate, Later, PutBack

logger = logging.getLogger("provisioner")

_OUTCOMES: dict[type, str] = {Fail: "failed", Later: "retry", PutBack: "put_back"}


class Observer:
    """Counts and logs for all slots."""

    def __init__(self, metrics: ProvisionerMetrics) -> None:
        self.metrics = metrics

    def slots(self, count: int) -> None:
        """Slots were made."""
        self.metrics.slots.set(count)

    def batch_claimed(self, slot: str, batch_id: str, jobs: int, losses: int, traces: str) -> None:
        """A batch is ours."""
        details = {"slot": slot, "batch_id": batch_id, "jobs": jobs, "losses": losses, "traces": traces}
        logger.info("batch claimed", extra=details)

    def batch_begun(self, idle_seconds: float) -> None:
        """A slot goes to work on a batch, after so long without one."""
        self.metrics.slots_busy.inc()
        self.metrics.idle.inc(idle_seconds)

    def batch_laid_down(self) -> None:
        """A slot's current batch is no longer in its hands."""
        self.metrics.slots_busy.dec()

    def batch_ended(self, slot: str, batch_id: str, outcome: str) -> None:
        """A batch has left a slot: finished, released, lost or given_up."""
        self.metrics.batches.labels(outcome).inc()
        if outcome == "lost":
            self.metrics.lost_leases.inc()
        logger.info("batch ended", extra={"slot": slot, "batch_id": batch_id, "outcome": outcome})

    def job_handed_over(self, request_id: str, seconds: float, audio_seconds: float) -> None:
        """A job's audio lies in the spool."""
        self.metrics.jobs.labels("handed_over").inc()
        self.metrics.speech.observe(seconds)
        self.metrics.audio.inc(audio_seconds)
        logger.debug("job handed over", extra={"request_id": request_id, "seconds": seconds})

    def job_left(self, request_id: str, fate: Fate, *, ours: bool) -> None:
        """A job has left a batch without audio."""
        if not ours:
            self.job_gone(request_id)
            return
        outcome = _OUTCOMES[type(fate)]
        self.metrics.jobs.labels(outcome).inc()
        details = {"request_id": request_id, "outcome": outcome}
        if isinstance(fate, PutBack):
            logger.info("job left its batch", extra=details | {"reason": fate.reason})
            return
        message = fate.message[:500] if isinstance(fate, Fail) else ""
        logger.warning("job left its batch", extra=details | {"reason": fate.error_type, "error": message})

    def job_gone(self, request_id: str) -> None:
        """A job is no longer ours: cancelled, flushed, or settled by somebody else."""
        self.metrics.jobs.labels("gone").inc()
        logger.info("job is gone from its batch", extra={"request_id": request_id})

    def attempt_failed(self, error_type: str) -> None:
        """An attempt at a job ended without audio. Types are a box's words: unknown ones share a label."""
        self.metrics.failures.labels(error_type if error_type in _KNOWN_TYPES else "other").inc()

    def executor_died(self, slot: str, batch_id: str, speaking: list[str]) -> None:
        """An executor ended that was not to end."""
        logger.warning("executor died", extra={"slot": slot, "batch_id": batch_id, "speaking": speaking})

    def paused(self, slot: str, reason: str | None) -> None:
        """A slot stopped leasing, or (None) goes on."""
        self.metrics.paused.set(0 if reason is None else 1)
        if reason is None:
            logger.info("leasing again", extra={"slot": slot})
        else:
            logger.warning("leasing is paused", extra={"slot": slot, "reason": reason})

    def queue_trouble(self, slot: str, error: JobRunnerError, *, first: bool) -> None:
        """A call to Redis failed; only the first of a row is logged."""
        self.metrics.queue_errors.labels(error.error_type).inc()
        if first:
            logger.warning("queue trouble, waiting", extra={"slot": slot, "error": str(error)})

    def queue_back(self, slot: str) -> None:
        """Redis answers again."""
        logger.info("queue is back", extra={"slot": slot})


_KNOWN_TYPES = frozenset(
    {
        "bad_artefact",
        "bad_voice",
        "cannot_start",
        "deadline",
        "disk_full",
        "engine_failed",
        "engine_missing",
        "internal_error",
        "invalid_input",
        "invalid_job",
        "losses_exhausted",
        "no_result",
        "output_unwritable",
        "poison",
        "signal",
        "transient_exhausted",
        "unknown_speaker",
        "unknown_voice",
        "unspeakable_text",
        "unsupported_language",
    }
)
