"""Once in the life of a queue: what an older version wrote gets what it lacks. In steps, like the audit.

Records get their row, their place in history and their count. A row that is the bare word of a state, without a final
record, an entry on the stream or a place in the retry set, is a job that the older version lost: it gets a failed
record, for otherwise its request id could never be used again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from lib.errors import QueueFull
from lib.jobqueue.look import Look
from lib.jobqueue.records import iso
from lib.jobqueue.states import FINAL
from lib.jobqueue.store import JobStore
from lib.jobqueue.streams import WorkStream
from watcher.lost import fail_lost
from watcher.observe import Observer
from watcher.pulse import RedisClock
from watcher.retries import is_utf8, parse_member

PAGE = 1_000
LARGE = 100  # a page that is worth a step of its own


def run(store: JobStore, look: Look, stream: WorkStream, clock: RedisClock, observer: Observer) -> Iterator[None]:
    """Bring everything up to date, and note that it was done."""
    keys = store.keys
    unfinished: set[str] = set()
    for page in _pages(look, keys.index):
        unfinished |= {id_ for id_, row in page.items() if is_legacy_unfinished(row) and is_utf8(id_)}
        if len(page) >= LARGE:
            yield
    filled = 0
    for key, state in ((keys.result, "done"), (keys.failed, "failed")):
        for page in _pages(look, key):
            filled += _records(store, state, page, clock.now_ms())
            if len(page) >= LARGE:
                yield
    if unfinished:
        for carried in _carried(look, stream):
            unfinished -= carried
            if len(carried) >= LARGE:
                yield
    lost = 0
    while unfinished:
        part = [unfinished.pop() for _ in range(min(100, len(unfinished)))]
        lost += fail_lost(store, look, [one for one in part if _still_legacy(look, one)], clock.now_ms())
        if unfinished:
            yield
    with suppress(QueueFull):  # then it is all looked at again later, at no harm
        store.mark_backfilled(iso(clock.now_ms() / 1000))
    observer.backfilled(filled, lost)


def _pages(look: Look, key: str) -> Iterator[dict[str, str]]:
    cursor = 0
    while True:
        cursor, page = look.records(key, cursor, PAGE)
        yield page
        if cursor == 0:
            return


def is_legacy_unfinished(row: str) -> bool:
    """Whether a row is the bare word of a state that is not final."""
    return not row.startswith("{") and row not in FINAL


def _still_legacy(look: Look, request_id: str) -> bool:
    row = look.row(request_id)
    return row is not None and set(row) == {"state"} and row["state"] not in FINAL


def _carried(look: Look, stream: WorkStream) -> Iterator[set[str]]:
    """Pages of the request ids that something still carries: an entry, or a member of the retry set."""
    after = "-"
    while after:
        entries, after = stream.page(PAGE, after)
        yield {_request_id(entry.fields.get("job", "")) for entry in entries}
    cursor = 0
    while True:
        cursor, members = look.retry_members(cursor, PAGE)
        yield {parse_member(member)[0] for member in members}
        if cursor == 0:
            return


def _request_id(job: str) -> str:
    value = _object(job)
    given = value.get("request_id")
    if isinstance(given, str) and given.strip():
        return given.strip()
    return str(value.get("output_name") or "").replace("/", ":")


def _records(store: JobStore, state: str, page: dict[str, str], now_ms: int) -> int:
    """Backfill one page of records."""
    rows: dict[str, list[tuple[str, int, str]]] = {}
    for request_id, text in page.items():
        record = _object(text)
        status = "cancelled" if state == "failed" and record.get("status") == "cancelled" else state
        at_ms = _ms(record.get("completed_at" if state == "done" else "failed_at"), now_ms)
        rows.setdefault(status, []).append((request_id, at_ms, _hash(record)))
    return sum(store.backfill(status, records) for status, records in rows.items() if records)


def _ms(moment: object, now_ms: int) -> int:
    """An ISO-8601 time in unix ms, one without a zone read as UTC; now, where there is none or one to come."""
    try:
        parsed = datetime.fromisoformat(moment) if isinstance(moment, str) else None
        if parsed is None:
            return now_ms
        at_ms = int((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        return now_ms
    return at_ms if 0 < at_ms <= now_ms else now_ms


def _hash(record: dict[str, Any]) -> str:
    job = record.get("job")
    for holder in (record, job if isinstance(job, dict) else {}):
        value = holder.get("content_hash")
        if isinstance(value, str):
            return value
    return ""


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
