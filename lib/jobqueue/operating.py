"""An operator's moves on one job, retry and cancel: reading what they need, the atomic move, reading again when another
was faster. Prints nothing and asks nobody.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lib.errors import InputError, PermanentError
from lib.jobqueue.enqueueing import spec_json
from lib.jobqueue.look import Look
from lib.jobqueue.records import failed_record, iso
from lib.jobqueue.spec import content_hash, normalize_job_spec
from lib.jobqueue.store import JobStore

TRIES = 10  # a job moves from stage to stage a few times in its life, not more
READ_AGAIN = 2


class NoJobInRecord(PermanentError):
    """A failed record that does not hold the job it is about, so that there is nothing to retry."""

    error_type = "no_job_in_record"


@dataclass(frozen=True, slots=True)
class Moved:
    """`outcome`: see `retry` and `cancel`. `state`: where the job was (or is, when it was not moved)."""

    outcome: str
    state: str


def retry(store: JobStore, request_id: str) -> Moved:
    """Put a failed or cancelled job on the queue again, with fresh attempts.

    Outcomes: queued; already_done; not_failed (it is on its way, in `state`); unknown; changed (its record changes
    while it is read, again and again).

    Raises:
        NoJobInRecord: the record holds no valid job of this request id.
    """
    look = Look(store)
    outcome = "changed"
    for _ in range(READ_AGAIN):
        raw = look.raw_failed(request_id)
        if raw is None:
            return _not_failed(look, request_id)
        record = _object(raw)
        spec = _job_of(record, request_id)
        spec.update(attempt=0, queued_at=iso(look.now_unix()))
        hash_ = content_hash(spec)
        spec["content_hash"] = hash_
        outcome = store.retry(request_id, raw, spec_json(spec), hash_)
        if outcome != "changed":
            return (
                Moved(outcome, str(record.get("status") or "failed"))
                if outcome == "queued"
                else _not_failed(look, request_id)
            )
    return Moved(outcome, "failed")


def _not_failed(look: Look, request_id: str) -> Moved:
    answer = look.result(request_id)
    if answer is None:
        return Moved("unknown", "")
    state = str(answer.get("status"))
    return Moved("already_done" if state == "done" else "not_failed", state)


def _job_of(record: Mapping[str, Any], request_id: str) -> dict[str, Any]:
    """The job in a failed record, normalised; fields we do not know are kept."""
    job = record.get("job")
    if isinstance(job, str):
        job = _object(job)
    if not isinstance(job, dict) or not job:
        raise NoJobInRecord(f"the failed record of {request_id} holds no job; enqueue it from its file instead")
    try:
        spec = dict(normalize_job_spec({"request_id": request_id, **job}, strict=False))
    except InputError as error:
        faults = "; ".join(error.problems)
        raise NoJobInRecord(f"the job in the failed record of {request_id} is not valid: {faults}") from error
    if spec["request_id"] != request_id:
        raise NoJobInRecord(f"the failed record {request_id} is about another request: {spec['request_id']}")
    return spec


def cancel(store: JobStore, request_id: str) -> Moved:
    """Settle an unfinished job as cancelled.

    Outcomes: cancelled; done, failed or already_cancelled (it had ended); unknown; moving (it changed hands at each
    try).
    """
    look = Look(store)
    state = ""
    for _ in range(TRIES):
        row = look.row(request_id)
        ended = look.result(request_id)
        if row is None or (ended is not None and ended.get("status") in ("done", "failed", "cancelled")):
            return _not_cancelled(ended)
        state = str(row.get("state"))
        outcome = store.cancel(request_id, str(row.get("uploads") or ""), _cancelled_record(look, request_id, row))
        if outcome == "cancelled":
            return Moved("cancelled", state)
        if outcome != "moved":
            return _not_cancelled({"status": outcome})
    return Moved("moving", state)


def _not_cancelled(ended: Mapping[str, Any] | None) -> Moved:
    state = "unknown" if ended is None else str(ended.get("status"))
    return Moved("already_cancelled" if state == "cancelled" else state, state)


def _cancelled_record(look: Look, request_id: str, row: Mapping[str, Any]) -> str:
    text = look.spec(request_id) or look.stray_spec(request_id)
    record = failed_record(
        request_id,
        error_type="cancelled",
        stage=str(row.get("state")),
        error="cancelled by an operator",
        attempt=int(row.get("attempt") or 0),
        failed_at=look.now_unix(),
        job=_object(text or ""),
        status="cancelled",
    )
    return json.dumps(record)


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
