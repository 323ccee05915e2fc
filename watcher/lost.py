"""Final records for jobs that nothing can speak any more, for their spec is gone. Decides on no other failure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from lib.jobqueue.look import Look
from lib.jobqueue.records import failed_record
from lib.jobqueue.store import Holder, JobStore, new_token


def spec_lost(request_id: str, *, attempt: int, now_ms: int) -> dict[str, Any]:
    """Build the record of such a job."""
    return failed_record(
        request_id,
        error_type="spec_lost",
        stage="watcher",
        error="the spec of this job is gone, so that it cannot be spoken; enqueue it again under another request id",
        attempt=attempt,
        failed_at=now_ms / 1000,
        job=None,
    )


def fail_lost(store: JobStore, look: Look, request_ids: Sequence[str], now_ms: int) -> int:
    """Fail unfinished jobs that nothing carries and whose spec is gone; returns how many."""
    rows = []
    for request_id in request_ids:
        attempt = int((look.row(request_id) or {}).get("attempt") or 0)
        record = spec_lost(request_id, attempt=attempt, now_ms=now_ms)
        rows.append((request_id, "", json.dumps(record), "spec_lost"))
    return sum(store.fail(Holder("lost", new_token()), rows)) if rows else 0
