"""What the watcher did, turned into log lines and metrics. Changes nothing; decides only what is worth a line.

A trouble is logged when it begins, when it changes, once a minute while it lasts, and when it is over.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from datetime import datetime

from lib.errors import JobRunnerError
from lib.telemetry.metrics import WatcherMetrics
from watcher.decide import Batch

logger = logging.getLogger(__name__)

_REMIND_SECONDS = 60.0


class Observer:
    """Log lines and metrics of one watcher; its methods may be called from any of its threads."""

    def __init__(self, metrics: WatcherMetrics) -> None:
        self._metrics = metrics
        self._reason = ""
        self._troubles: dict[str, tuple[str, float]] = {}

    def went_round(self) -> None:
        self._metrics.loop_last.set_to_current_time()

    # The lock

    def standby(self, owner: str) -> None:
        if self._reason != "standby":
            self._reason = "standby"
            logger.info("standby", extra={"lock_owner": owner})

    def lock_won(self, consumer: str, run_id: str) -> None:
        self._metrics.holds_lock.set(1)
        logger.info("lock taken", extra={"consumer": consumer, "run_id": run_id})

    def lock_lost(self, why: str) -> None:
        self._metrics.holds_lock.set(0)
        self._metrics.lost_leases.inc()
        logger.warning("lock lost, nothing more is dispatched", extra={"why": why})

    def lock_released(self) -> None:
        self._metrics.holds_lock.set(0)
        logger.info("lock released")

    # Jobs

    def taken_over(self, entries: int) -> None:
        if entries:
            logger.info("leases taken over", extra={"entries": entries})

    def admitted(self, outcomes: Mapping[str, int]) -> None:
        for outcome, count in outcomes.items():
            self._metrics.admitted.labels(outcome).inc(count)
        if outcomes.get("superseded"):
            logger.warning("entries of requests that are known already were removed", extra=dict(outcomes))

    def rejected(self, entry: str, key: str, error: str) -> None:
        self._metrics.admitted.labels("rejected").inc()
        logger.warning("an entry is no job, set aside", extra={"entry": entry, "request_id": key, "error": error[:500]})

    def leases_lost(self, count: int) -> None:
        """Count undispatched jobs whose entry is no longer ours: cancelled, flushed, or another's."""
        self._metrics.lost_leases.inc(count)
        logger.info("entries are no longer ours", extra={"entries": count})

    def dispatched(self, batch_id: str, batch: Batch) -> None:
        self._metrics.batches.inc()
        self._metrics.batch_jobs.inc(len(batch.jobs))
        self._metrics.batch_speech.inc(batch.seconds)
        voices = [voice or speaker for voice, speaker in batch.voices]
        logger.info(
            "batch dispatched",
            extra={
                "batch_id": batch_id,
                "jobs": len(batch.jobs),
                "estimated_seconds": round(batch.seconds, 1),
                "voices": voices[:5],
                "voice_count": len(voices),
            },
        )

    def stale(self, request_ids: Sequence[str]) -> None:
        logger.info("jobs left the queue before their batch", extra={"jobs": len(request_ids)})

    def promoted(self, outcomes: Mapping[str, int]) -> None:
        self._metrics.promoted.inc(outcomes.get("ok", 0))
        if outcomes.get("ok"):
            logger.info("retries due", extra={"jobs": outcomes["ok"]})
        if outcomes.get("no_spec"):
            logger.error("retries without a spec failed", extra={"jobs": outcomes["no_spec"]})

    # Housekeeping

    def repaired(self, found: Sequence[tuple[str, str]]) -> None:
        for request_id, state in found:
            self._metrics.repaired.labels(state).inc()
            logger.warning(
                "the audit found a job that nothing carried", extra={"request_id": request_id, "state": state}
            )

    def batches_removed(self, batch_ids: Sequence[str]) -> None:
        if batch_ids:
            logger.warning("batches without an entry removed", extra={"batches": len(batch_ids)})

    def adopted(self, entries: int) -> None:
        logger.warning("entries that nobody leased are leased again", extra={"entries": entries})

    def backfilled(self, records: int, lost: int) -> None:
        if records or lost:
            logger.info("records of an older version brought up to date", extra={"records": records, "lost": lost})

    def gauges(self, states: Mapping[str, int], first_queued: str | None) -> None:
        for state, count in states.items():
            self._metrics.jobs.labels(state).set(count)
        self._metrics.oldest_queued.set(_timestamp(first_queued))

    # Troubles and reasons

    def reason(self, reason: str) -> None:
        """Say why nothing more is dispatched, when that changes."""
        if reason != self._reason:
            self._reason = reason
            logger.debug("state", extra={"reason": reason})

    def trouble(self, where: str, error: JobRunnerError) -> None:
        """Count a failed call, and log it unless the same was logged within a minute."""
        self._metrics.queue_errors.labels(error.error_type).inc()
        kind, since = self._troubles.get(where, ("", 0.0))
        now = time.monotonic()
        if kind != error.error_type or now - since >= _REMIND_SECONDS:
            self._troubles[where] = (error.error_type, now)
            logger.error(
                "the queue cannot be used, waiting",
                extra={"where": where, "error_type": error.error_type, "error": str(error)},
            )

    def trouble_over(self, where: str) -> None:
        if self._troubles.pop(where, None) is not None:
            logger.info("the queue can be used again", extra={"where": where})


def _timestamp(text: str | None) -> float:
    try:
        return datetime.fromisoformat(text).timestamp() if text else 0.0
    except ValueError:
        return 0.0
