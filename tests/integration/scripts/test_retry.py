"""Retry: an operator gives an ended job fresh attempts."""

from __future__ import annotations

import pytest

from lib.jobqueue.messages import BatchMessage, UploadMessage
from tests.support.queue_line import BATCH_TOKEN, LOCK, SPOOL, UPLOAD_TOKEN, Line, content_hash, record, spec
from tests.support.snapshot import unchanged

pytestmark = pytest.mark.both_redis


def _retry(line: Line, request_id: str, read: str) -> str:
    return line.store.retry(request_id, read, spec(request_id), content_hash(request_id))


@pytest.mark.parametrize("ended", ["failed", "cancelled"])
def test_an_ended_job_is_queued_afresh_and_its_record_is_gone(line: Line, ended: str) -> None:
    if ended == "failed":
        line.failed("a")
    else:
        line.speaking("a")
        line.store.cancel("a", "", record("a", "cancelled"))
        line.store.finish_batch("batch-1", BATCH_TOKEN)
    assert _retry(line, "a", record("a", ended)) == "queued"
    row = line.row("a")
    assert (row["state"], row["attempt"], row["hash"]) == ("queued", 0, content_hash("a"))
    assert not line.client.hexists(line.keys.failed, "a")
    line.check()


def test_a_record_of_an_older_version_without_a_row_can_be_retried(line: Line) -> None:
    line.client.hset(line.keys.failed, "old", "old record")
    assert _retry(line, "old", "old record") == "queued"
    line.check()


def test_a_record_that_has_changed_since_it_was_read_is_left_alone(line: Line) -> None:
    line.failed("a")
    with unchanged(line.client):
        assert _retry(line, "a", "another record") == "changed"


@pytest.mark.parametrize("state", ["queued", "speaking", "retrying"])
def test_an_unfinished_job_is_not_failed(line: Line, state: str) -> None:
    getattr(line, state)("a")
    with unchanged(line.client):
        assert _retry(line, "a", "") == "not_failed"
        assert _retry(line, "never seen", "") == "not_failed"


def test_a_done_job_is_already_done_even_beside_an_old_failed_record(line: Line) -> None:
    line.done("a")
    line.client.hset(line.keys.failed, "a", "old record")
    with unchanged(line.client):
        assert _retry(line, "a", "old record") == "already_done"


def test_it_can_be_done_after_it_failed_and_has_one_record_then(line: Line) -> None:
    line.failed("a")
    _retry(line, "a", record("a", "failed"))
    entry = line.watcher.read(1, 0)[0].id
    line.store.dispatch(LOCK, "batch-2", "{}", [("a", entry)])
    message = BatchMessage.parse(line.slot.read(1, 0)[0])
    line.claim(message)
    line.store.hand_over("batch-2", BATCH_TOKEN, SPOOL, [("a", "{}")])
    line.store.finish_batch("batch-2", BATCH_TOKEN)
    uploads = [UploadMessage.parse(one) for one in line.uploader.read(1, 0)]
    line.claim_uploads(uploads)
    assert line.store.complete(SPOOL, UPLOAD_TOKEN, [("a", uploads[0].entry, record("a", "done"))]) == [True]
    line.check_settled()
