"""Puts due retries back on the jobs stream. Reads members of older versions too; decides nothing about when."""

from __future__ import annotations

import json
from collections import Counter

from lib.jobqueue.look import Look
from lib.jobqueue.store import JobStore
from watcher.lost import spec_lost
from watcher.observe import Observer

PAGE = 250
PAGES = 4  # of one round: what is left is due in the next


def parse_member(member: str) -> tuple[str, str]:
    """Return (request id, spec) of a member; the spec is '' but where an older version wrote {request_id, job}."""
    if not member.startswith("{"):
        return member, ""
    try:
        value = json.loads(member)
    except (ValueError, RecursionError):
        return member, ""
    if not isinstance(value, dict):
        return member, ""
    request_id, job = value.get("request_id"), value.get("job")
    if not isinstance(request_id, str) or not request_id or not is_utf8(request_id) or job in (None, "", {}):
        return member, ""
    spec = job if isinstance(job, str) else json.dumps(job)
    return request_id, spec


def is_utf8(text: str) -> bool:
    """Whether a text has no halves of characters in it, so that it can be stored."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def promote_due(store: JobStore, look: Look, now_ms: int, observer: Observer) -> None:
    """Promote what is due, within a bound."""
    for _ in range(PAGES):
        due = look.due_retries(PAGE)
        if not due:
            return
        rows = []
        for member in due:
            request_id, spec = parse_member(member)
            record = spec_lost(request_id, attempt=0, now_ms=now_ms)
            rows.append((member, request_id, spec, json.dumps(record)))
        observer.promoted(Counter(store.promote(rows)))
        if len(due) < PAGE:
            return
