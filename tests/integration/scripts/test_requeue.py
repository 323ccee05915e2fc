"""Requeue: back to the jobs stream, free of charge."""

from __future__ import annotations

import pytest

from lib.jobqueue.store import Holder, Requeue
from tests.support.queue_line import BATCH_TOKEN, LOCK, SPOOL, STALE_TOKEN, UPLOAD_TOKEN, Line, spec
from tests.support.snapshot import unchanged

pytestmark = pytest.mark.both_redis


def _requeue(line: Line, holder: Holder, request_id: str, held: str) -> bool:
    [ok] = line.store.requeue(holder, [Requeue(request_id, held, "box_lost", losses=1, crashes=1, alone=True)])
    return ok


@pytest.mark.parametrize("stage", ["batch", "upload"])
def test_the_job_is_queued_again_with_its_losses_and_its_age_but_no_attempt(line: Line, stage: str) -> None:
    if stage == "batch":
        line.speaking("a")
        queued_ms, entry = line.row("a")["queued_ms"], line.row("a")["entry"]
        assert _requeue(line, Holder("batch", BATCH_TOKEN), "a", "batch-1")
        line.store.finish_batch("batch-1", BATCH_TOKEN)
    else:
        stage_entry = line.storing("a")["a"]
        queued_ms, entry = line.row("a")["queued_ms"], line.row("a")["entry"]
        assert _requeue(line, Holder("upload", UPLOAD_TOKEN, SPOOL), "a", stage_entry)
    row = line.row("a")
    assert (row["state"], row["attempt"], row["lost"], row["crashes"], row["alone"]) == ("queued", 0, 1, 1, 1)
    assert row["queued_ms"] == queued_ms
    assert row["entry"] != entry
    assert line.client.xrange(line.keys.jobs_stream) == [(row["entry"], {"job": spec("a")})]
    line.check()


def test_stale_holders_put_nothing_back(line: Line) -> None:
    line.speaking("a")
    with unchanged(line.client):
        assert not _requeue(line, Holder("batch", STALE_TOKEN), "a", "batch-1")
        assert not _requeue(line, Holder("upload", BATCH_TOKEN, SPOOL), "a", "batch-1")
        assert not _requeue(line, Holder("batch", BATCH_TOKEN), "never seen", "batch-1")


def test_a_repeat_is_told_that_it_is_done_until_the_job_moves_on(line: Line) -> None:
    line.speaking("a")
    assert _requeue(line, Holder("batch", BATCH_TOKEN), "a", "batch-1")
    with unchanged(line.client):
        assert _requeue(line, Holder("batch", BATCH_TOKEN), "a", "batch-1")
        assert not _requeue(line, Holder("batch", STALE_TOKEN), "a", "batch-1")
    entry = line.watcher.read(1, 0)[0].id
    line.store.dispatch(LOCK, "batch-2", "{}", [("a", entry)])
    with unchanged(line.client):
        assert not _requeue(line, Holder("batch", BATCH_TOKEN), "a", "batch-1")


def test_without_a_spec_it_stays_where_it_is(line: Line) -> None:
    line.speaking("a")
    line.client.hdel(line.keys.specs, "a")
    with unchanged(line.client):
        assert not _requeue(line, Holder("batch", BATCH_TOKEN), "a", "batch-1")
