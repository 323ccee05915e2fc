"""Claim uploads: a fresh token on each job, for the consumer that holds its entry."""

from __future__ import annotations

import pytest

from lib.jobqueue.messages import UploadMessage
from tests.support.queue_line import SPOOL, STALE_TOKEN, UPLOAD_TOKEN, Line, record
from tests.support.snapshot import unchanged

pytestmark = pytest.mark.both_redis


def test_the_reader_becomes_the_holder_and_gets_the_rows(line: Line) -> None:
    claimed = line.claim_uploads(line.uploading("a", "b"))
    assert [one.message.request_id for one in claimed] == ["a", "b"]
    assert all(one.row["token"] == UPLOAD_TOKEN and one.row["handed_by"] == "batch-1" for one in claimed)
    assert line.row("a")["token"] == UPLOAD_TOKEN
    line.check()


def test_an_entry_that_another_consumer_holds_is_left_alone(line: Line) -> None:
    messages = line.uploading("a")
    with unchanged(line.client):
        assert line.store.claim_uploads(SPOOL, "host/uploader-9", STALE_TOKEN, messages) == []


def test_a_new_claim_fences_the_last_holder_off(line: Line) -> None:
    messages = line.uploading("a")
    line.claim_uploads(messages)
    other = line.store.uploads_stream(SPOOL, "host/uploader-1")
    other.reclaim(0, 10, 60_000)
    assert len(line.store.claim_uploads(SPOOL, other.consumer, STALE_TOKEN, messages)) == 1
    with unchanged(line.client):
        assert line.store.complete(SPOOL, UPLOAD_TOKEN, [("a", messages[0].entry, "{}")]) == [False]


@pytest.mark.parametrize("left", ["cancelled", "stale entry"])
def test_what_is_settled_or_superseded_is_acknowledged_and_left_out(line: Line, left: str) -> None:
    messages = line.uploading("a")
    if left == "cancelled":
        line.store.cancel("a", SPOOL, record("a", "cancelled"))
        entry = str(line.client.xadd(line.keys.uploads_stream(SPOOL), {"request_id": "a", "upload": "{}"}))
    else:
        entry = str(line.client.xadd(line.keys.uploads_stream(SPOOL), {"request_id": "never seen", "upload": "{}"}))
    extra = UploadMessage.parse(line.uploader.read(10, 0)[0])
    assert extra.entry == entry
    claimed = line.claim_uploads([*messages, extra])
    assert [one.message.entry for one in claimed] == ([] if left == "cancelled" else [messages[0].entry])
    line.check()
