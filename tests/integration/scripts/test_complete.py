"""Complete: acknowledge, delete and record, at once."""

from __future__ import annotations

import pytest

from tests.support.queue_line import BATCH_TOKEN, SPOOL, STALE_TOKEN, UPLOAD_TOKEN, Line, record
from tests.support.snapshot import unchanged

pytestmark = pytest.mark.both_redis


def test_a_stored_job_is_done_and_nothing_but_its_record_remains(line: Line) -> None:
    entries = line.storing("a")
    assert line.store.complete(SPOOL, UPLOAD_TOKEN, [("a", entries["a"], record("a", "done"))]) == [True]
    assert line.client.hget(line.keys.result, "a") == record("a", "done")
    row = line.row("a")
    assert (row["state"], row["attempt"]) == ("done", 0)
    assert line.client.zscore(line.keys.history_done, "a") == row["at_ms"]
    assert line.events("a") == ["queued", "dispatched", "speaking", "uploading", "done"]
    line.check_settled()


def test_a_stale_uploader_completes_nothing(line: Line) -> None:
    entries = line.storing("a")
    with unchanged(line.client):
        for token, entry in ((STALE_TOKEN, entries["a"]), ("", entries["a"]), (UPLOAD_TOKEN, "1-1")):
            assert line.store.complete(SPOOL, token, [("a", entry, "{}")]) == [False]


def test_an_upload_that_nobody_has_claimed_cannot_be_completed(line: Line) -> None:
    messages = line.uploading("a")
    with unchanged(line.client):
        assert line.store.complete(SPOOL, "", [("a", messages[0].entry, "{}")]) == [False]


@pytest.mark.parametrize("state", ["queued", "speaking", "retrying", "failed"])
def test_a_job_in_another_state_cannot_be_completed(line: Line, state: str) -> None:
    getattr(line, state)("a")
    with unchanged(line.client):
        assert line.store.complete(SPOOL, BATCH_TOKEN, [("a", "1-1", "{}")]) == [False]


def test_a_cancelled_job_stays_cancelled_when_its_upload_ends(line: Line) -> None:
    entries = line.storing("a")
    line.store.cancel("a", SPOOL, record("a", "cancelled"))
    with unchanged(line.client):
        assert line.store.complete(SPOOL, UPLOAD_TOKEN, [("a", entries["a"], "{}")]) == [False]
    line.check_settled()


def test_the_record_written_first_stays_when_it_is_completed_again(line: Line) -> None:
    entries = line.storing("a")
    line.store.complete(SPOOL, UPLOAD_TOKEN, [("a", entries["a"], record("a", "done"))])
    with unchanged(line.client):
        assert line.store.complete(SPOOL, UPLOAD_TOKEN, [("a", entries["a"], "another")]) == [True]
        assert line.store.complete(SPOOL, STALE_TOKEN, [("a", entries["a"], "another")]) == [False]
