"""Fail: a final failed record, written by whoever holds the job."""

from __future__ import annotations

import pytest

from lib.jobqueue.store import Holder
from tests.support.queue_line import BATCH_TOKEN, SPOOL, STALE_TOKEN, UPLOAD_TOKEN, Line, record
from tests.support.snapshot import unchanged

pytestmark = pytest.mark.both_redis


def _fail(line: Line, holder: Holder, request_id: str, held: str) -> bool:
    [ok] = line.store.fail(holder, [(request_id, held, record(request_id, "failed"), "bad_voice")])
    return ok


def test_a_batchs_holder_fails_a_job_for_good(line: Line) -> None:
    line.speaking("a")
    assert _fail(line, Holder("batch", BATCH_TOKEN), "a", "batch-1")
    assert line.client.hget(line.keys.failed, "a") == record("a", "failed")
    row = line.row("a")
    assert (row["state"], row["attempt"], row["reason"]) == ("failed", 1, "bad_voice")
    assert line.client.zscore(line.keys.history_failed, "a") == row["at_ms"]
    line.store.finish_batch("batch-1", BATCH_TOKEN)
    line.check_settled()


def test_an_uploader_fails_a_job_for_good(line: Line) -> None:
    entries = line.storing("a")
    assert _fail(line, Holder("upload", UPLOAD_TOKEN, SPOOL), "a", entries["a"])
    line.check_settled()


def test_the_watcher_fails_an_undispatched_job_by_its_entry(line: Line) -> None:
    entries = line.queued("a")
    with unchanged(line.client):
        assert not _fail(line, Holder("entry", ""), "a", "1-1")
    assert _fail(line, Holder("entry", "token"), "a", entries["a"])
    line.check_settled()


@pytest.mark.parametrize("state", ["queued", "retrying", "speaking"])
def test_the_audit_fails_what_has_lost_its_spec_wherever_it_is(line: Line, state: str) -> None:
    getattr(line, state)("a")
    line.client.hdel(line.keys.specs, "a")
    assert _fail(line, Holder("lost", "token"), "a", "")
    assert line.state("a") == "failed"
    line.check()


def test_stale_holders_fail_nothing(line: Line) -> None:
    line.speaking("a")
    line.queued("q")
    with unchanged(line.client):
        assert not _fail(line, Holder("batch", STALE_TOKEN), "a", "batch-1")
        assert not _fail(line, Holder("batch", BATCH_TOKEN), "a", "batch-2")
        assert not _fail(line, Holder("batch", ""), "a", "batch-1")
        assert not _fail(line, Holder("upload", BATCH_TOKEN, SPOOL), "a", "batch-1")
        assert not _fail(line, Holder("entry", BATCH_TOKEN), "a", line.row("a")["entry"])
        assert not _fail(line, Holder("batch", BATCH_TOKEN), "q", "batch-1")
        assert not _fail(line, Holder("batch", BATCH_TOKEN), "never seen", "batch-1")
        assert not _fail(line, Holder("nonsense", BATCH_TOKEN), "a", "batch-1")


@pytest.mark.parametrize("kind", ["batch", "upload", "entry", "lost"])
def test_a_final_job_stays_as_it_ended(line: Line, kind: str) -> None:
    line.done("a")
    line.failed("b", batch_id="batch-2")
    with unchanged(line.client):
        for one in ("a", "b"):
            assert not _fail(line, Holder(kind, STALE_TOKEN, SPOOL), one, "batch-2")


def test_a_reclaimed_upload_is_stale_for_its_first_uploader(line: Line) -> None:
    messages = line.uploading("a")
    line.claim_uploads(messages)
    line.claim_uploads(messages, STALE_TOKEN)
    with unchanged(line.client):
        assert not _fail(line, Holder("upload", UPLOAD_TOKEN, SPOOL), "a", messages[0].entry)
