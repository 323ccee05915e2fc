"""What the uploader tells: outcomes to log lines and metrics, changes of mood once each. Decides nothing."""

from __future__ import annotations

import logging
import threading
import time

from prometheus_client import CollectorRegistry

from lib.errors import JobRunnerError
from lib.telemetry.metrics import UploaderMetrics

logger = logging.getLogger("uploader")


class Observer:
    """The uploader's log and metrics; safe from any thread."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.metrics = UploaderMetrics(registry)
        self._lock = threading.Lock()
        self._queue_fault: str | None = None
        self._store_fault: str | None = None

    def queue_fault(self) -> str | None:
        """Why the queue cannot be used now; None: it can."""
        return self._queue_fault

    def store_fault(self) -> str | None:
        """Why nothing can be stored now; None: it can, as far as is known."""
        return self._store_fault

    def loop_turned(self) -> None:
        """The loop went round."""
        self.metrics.loop_last.set(time.time())

    def waiting(self, uploads: int) -> None:
        """So many uploads lie on this spool's stream."""
        self.metrics.waiting.set(uploads)

    def queue_failed(self, error: JobRunnerError) -> None:
        """A call to Redis failed; logged once per change."""
        self.metrics.queue_errors.labels(error.error_type).inc()
        with self._lock:
            known, self._queue_fault = self._queue_fault, str(error)
        if known is None:
            logger.warning("waiting for Redis", extra={"error_type": error.error_type, "reason": str(error)})

    def queue_recovered(self) -> None:
        """Redis answers."""
        with self._lock:
            known, self._queue_fault = self._queue_fault, None
        if known is not None:
            logger.info("Redis is back")

    def store_failed(self, error: JobRunnerError, request_id: str = "") -> None:
        """Storing failed and will be tried again; logged once per change of the reason's kind."""
        self.metrics.store_errors.labels(error.error_type).inc()
        self.metrics.blocked.set(1)
        with self._lock:
            known, self._store_fault = self._store_fault, f"{error.error_type}: {error}"
        changed = known is None or known.split(":")[0] != error.error_type
        level = logging.WARNING if changed else logging.DEBUG
        fields = {"error_type": error.error_type, "reason": str(error), "request_id": request_id}
        logger.log(level, "storing waits", extra=fields)

    def store_recovered(self) -> None:
        """Something could be stored."""
        with self._lock:
            known, self._store_fault = self._store_fault, None
        if known is not None:
            self.metrics.blocked.set(0)
            logger.info("storing goes on")

    def stored(self, files: int, size: int, seconds: float) -> None:
        """The files of a job lie in the store."""
        self.metrics.files.inc(files)
        self.metrics.bytes.inc(size)
        self.metrics.storing.observe(seconds)

    def settled(self, outcome: str, request_id: str, reason: str = "", age_seconds: float | None = None) -> None:
        """A job left this stage: done, stale, requeued or failed."""
        self.metrics.settled.labels(outcome).inc()
        if age_seconds is not None:
            self.metrics.job_age.observe(age_seconds)
        level = logging.INFO if outcome == "done" else logging.WARNING
        logger.log(level, "upload settled", extra={"outcome": outcome, "request_id": request_id, "reason": reason})

    def dropped(self, entry: str, reason: str) -> None:
        """A foreign or broken entry was removed from the uploads stream."""
        self.metrics.settled.labels("dropped").inc()
        logger.error("foreign entry dropped", extra={"entry": entry, "reason": reason})

    def leases_lost(self, count: int) -> None:
        """Leases turned out to be another's."""
        self.metrics.lost_leases.inc(count)
        logger.warning("leases lost", extra={"count": count})

    def repaired(self, request_id: str, files: int) -> None:
        """A late write of an older attempt had overwritten files of a settled job."""
        self.metrics.repaired.inc(files)
        logger.warning("overwritten files put right", extra={"request_id": request_id, "files": files})
