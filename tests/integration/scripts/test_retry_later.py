"""Retry later: an attempt is counted and the job waits in the retry set."""

from __future__ import annotations

import pytest

from lib.jobqueue.store import Holder
from tests.support.queue_line import BATCH_TOKEN, SPOOL, STALE_TOKEN, UPLOAD_TOKEN, Line, spec
from tests.support.snapshot import unchanged

pytestmark = pytest.mark.both_redis


def _retry(line: Line, holder: Holder, request_id: str, held: str) -> bool:
    [ok] = line.store.retry_later(holder, [(request_id, held, 30_000, "engine_trouble")])
    return ok


@pytest.mark.parametrize("stage", ["batch", "upload"])
def test_the_job_leaves_its_stage_and_waits_until_it_is_due(line: Line, stage: str) -> None:
    if stage == "batch":
        line.speaking("a")
        assert _retry(line, Holder("batch", BATCH_TOKEN), "a", "batch-1")
        line.store.finish_batch("batch-1", BATCH_TOKEN)
    else:
        assert _retry(line, Holder("upload", UPLOAD_TOKEN, SPOOL), "a", line.storing("a")["a"])
    row = line.row("a")
    assert (row["state"], row["attempt"], row["reason"]) == ("retrying", 1, "engine_trouble")
    assert line.client.zscore(line.keys.retry, "a") == pytest.approx((row["at_ms"] + 30_000) / 1000)
    assert line.client.hget(line.keys.specs, "a") == spec("a")
    assert line.client.xlen(line.keys.jobs_stream) == line.client.xlen(line.keys.uploads_stream(SPOOL)) == 0
    line.check()


def test_stale_holders_schedule_nothing(line: Line) -> None:
    line.speaking("a")
    with unchanged(line.client):
        assert not _retry(line, Holder("batch", STALE_TOKEN), "a", "batch-1")
        assert not _retry(line, Holder("upload", BATCH_TOKEN, SPOOL), "a", "batch-1")
        assert not _retry(line, Holder("batch", BATCH_TOKEN), "never seen", "batch-1")


def test_a_job_that_waits_already_is_not_counted_again_by_another_holder(line: Line) -> None:
    line.retrying("a")
    with unchanged(line.client):
        assert not _retry(line, Holder("batch", STALE_TOKEN), "a", "batch-1")
        assert _retry(line, Holder("batch", BATCH_TOKEN), "a", "batch-1"), "the repeat of the call that did it"
