"""Rows that other hands have edited: a script reads what is sound in them, and one odd row stops no other job."""

from __future__ import annotations

import json

import pytest

from lib.errors import QueueCorrupt
from lib.jobqueue.look import Look
from lib.jobqueue.messages import BatchMessage, Entry, UploadMessage
from tests.support.queue_line import Line

pytestmark = pytest.mark.both_redis

DEEP = "[" * 100_000


def edit(line: Line, request_id: str, **changes: object) -> None:
    key = line.store.keys.index
    row = json.loads(line.client.hget(key, request_id))
    line.client.hset(key, request_id, json.dumps({**row, **changes}))


@pytest.mark.parametrize("value", ["x", {}, [1], None, True, -1, 1e300])
@pytest.mark.parametrize("field", ["attempt", "entry", "batch", "queued_ms", "lost", "uploads", "stage"])
def test_an_odd_field_of_one_row_keeps_no_other_job_from_being_put_back(line: Line, field: str, value: object) -> None:
    line.enqueue("odd", "good")
    line.client.delete(line.store.keys.jobs_stream)
    edit(line, "odd", **{field: value})
    looked, found = line.store.audit(0, 10)
    assert (looked, dict(found)) == (2, {"odd": "queued", "good": "queued"})
    assert line.store.audit(0, 10) == (2, [])


@pytest.mark.parametrize("raw", ["rubbish", '{"state":5}', '{"state":"nonsense"}', "[]", "", DEEP, '{"v":1e999}'])
def test_a_row_that_is_none_is_put_back_under_a_name_of_few(line: Line, raw: str) -> None:
    line.enqueue("odd")
    line.client.hset(line.store.keys.index, "odd", raw)
    assert line.store.audit(0, 10) == (1, [("odd", "unreadable")])
    assert line.store.audit(0, 10) == (1, [])


def test_a_row_that_says_done_without_a_record_is_put_back(line: Line) -> None:
    line.enqueue("odd")
    line.client.hset(line.store.keys.index, "odd", '{"state":"done"}')
    line.store.audit(0, 10)
    assert Look(line.store).row("odd")["state"] == "queued"  # type: ignore[index]  # it is there
    assert line.store.audit(0, 10) == (1, [])


def test_a_number_that_is_none_reads_as_missing(line: Line) -> None:
    line.enqueue("odd")
    edit(line, "odd", attempt="x", queued_ms=[1])
    row = Look(line.store).row("odd")
    assert row is not None
    assert "attempt" not in row
    assert "queued_ms" not in row


def test_json_nested_without_end_is_a_foreign_entry() -> None:
    with pytest.raises(QueueCorrupt, match="is not JSON"):
        BatchMessage.parse(Entry("1-1", {"batch_id": "b", "header": "{}", "jobs": DEEP}))
    with pytest.raises(QueueCorrupt, match="is not JSON"):
        UploadMessage.parse(Entry("1-1", {"request_id": "a", "upload": DEEP}))
