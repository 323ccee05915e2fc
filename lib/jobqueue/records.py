"""The final records, and the small rows of history made from them. Pure: times come in as arguments."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any


def iso(unix_seconds: float) -> str:
    """ISO-8601 UTC with milliseconds."""
    return datetime.fromtimestamp(unix_seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def failed_record(
    request_id: str,
    *,
    error_type: str,
    stage: str,
    error: str,
    attempt: int,
    failed_at: float,
    job: object,
    status: str = "failed",
    run_id: str | None = None,
) -> dict[str, Any]:
    """Build a record for `jobs:failed`. `job` is the original spec (or the raw payload of what could not be parsed)."""
    return {
        "record_version": 1,
        "request_id": request_id,
        "status": status,
        "attempt": attempt,
        "error_type": error_type,
        "stage": stage,
        "error": error[:4000],
        "failed_at": iso(failed_at),
        "run_id": run_id,
        "job": job,
    }


def done_record(
    row: dict[str, Any], upload: dict[str, Any], outputs: dict[str, Any], *, completed_at: float
) -> dict[str, Any]:
    """Build a record for `jobs:result` from a job's row, its upload's payload and where its files were stored.

    `outputs`: {best, takes[], meta}; see docs/protocol.md for `upload`.
    """
    result = upload.get("result") or {}
    queued, dispatched, handed = (row.get(f"{name}_ms") for name in ("queued", "dispatched", "handed"))
    speech = upload.get("timings") or {}
    return {
        "record_version": 1,
        "request_id": upload["request_id"],
        "content_hash": upload.get("content_hash"),
        "status": "done",
        "attempt": int(row.get("attempt") or 0) + 1,
        "run_id": upload.get("run_id"),
        "completed_at": iso(completed_at),
        "output_name": upload.get("output_name"),
        "outputs": outputs,
        "callback_data": upload.get("callback_data"),
        "audio_seconds": result.get("audio_seconds"),
        "engine": result.get("engine"),
        "model": result.get("model"),
        "degraded": result.get("degraded"),
        "selection": result.get("selection"),
        "box": upload.get("box"),
        "cost_dollars": upload.get("cost_dollars", 0.0),
        "timings": {
            "queued_at": iso(queued / 1000) if queued else None,
            "waiting_seconds": _between(queued, dispatched),
            "batch_seconds": _between(dispatched, handed),
            "speech_seconds": speech.get("seconds"),
            "storing_seconds": _between(handed, completed_at * 1000),
            "total_seconds": _between(queued, completed_at * 1000),
        },
    }


def _between(start_ms: float | None, end_ms: float | None) -> float | None:
    return None if not start_ms or not end_ms else round(max(0.0, end_ms - start_ms) / 1000, 3)
