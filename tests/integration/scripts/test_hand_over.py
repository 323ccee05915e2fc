"""Hand over: finished jobs go from the box's holder to the uploaders of its spool."""

from __future__ import annotations

import pytest

from lib.jobqueue.store import Holder, Requeue
from tests.support.queue_line import BATCH_TOKEN, SPOOL, STALE_TOKEN, UPLOAD_TOKEN, Line, record
from tests.support.snapshot import unchanged

pytestmark = pytest.mark.both_redis


UPLOAD = '{"v":1,"files":[],"n":18446744073709551617}'


def test_a_job_lies_on_the_spools_stream_with_its_payload_untouched(line: Line) -> None:
    line.speaking("a")
    assert line.store.hand_over("batch-1", BATCH_TOKEN, SPOOL, [("a", UPLOAD)]) == ["ok"]
    [(entry, fields)] = line.client.xrange(line.keys.uploads_stream(SPOOL))
    assert fields == {"request_id": "a", "upload": UPLOAD}
    row = line.row("a")
    assert (row["state"], row["stage"], row["uploads"], "token" in row) == ("uploading", entry, SPOOL, False)
    assert line.store.spools() == [SPOOL]
    line.check()


def test_a_job_that_was_never_noted_as_started_may_be_handed_over(line: Line) -> None:
    line.claimed("a")
    assert line.store.hand_over("batch-1", BATCH_TOKEN, SPOOL, [("a", UPLOAD)]) == ["ok"]
    line.check()


@pytest.mark.parametrize("later", ["uploading", "done"])
def test_handing_over_again_is_already_done_and_adds_nothing(line: Line, later: str) -> None:
    if later == "uploading":
        line.uploading("a")
    else:
        line.done("a")
    with unchanged(line.client):
        assert line.store.hand_over("batch-1", BATCH_TOKEN, SPOOL, [("a", UPLOAD)]) == ["already"]


def test_a_stale_holder_hands_nothing_over(line: Line) -> None:
    line.speaking("a")
    with unchanged(line.client):
        assert line.store.hand_over("batch-1", STALE_TOKEN, SPOOL, [("a", UPLOAD)]) == ["stale"]
        assert line.store.hand_over("batch-9", BATCH_TOKEN, SPOOL, [("a", UPLOAD)]) == ["stale"]


def test_a_job_that_went_back_to_the_queue_is_stale_for_the_batch_it_was_in(line: Line) -> None:
    entries = line.storing("a")
    line.store.requeue(Holder("upload", UPLOAD_TOKEN, SPOOL), [Requeue("a", entries["a"], "spool_damaged")])
    with unchanged(line.client):
        assert line.store.hand_over("batch-1", BATCH_TOKEN, SPOOL, [("a", UPLOAD)]) == ["stale"]


def test_cancelled_and_failed_jobs_are_stale(line: Line) -> None:
    line.speaking("a", "b")
    line.store.cancel("a", "", record("a", "cancelled"))
    line.store.fail(Holder("batch", BATCH_TOKEN), [("b", "batch-1", record("b", "failed"), "bad_voice")])
    with unchanged(line.client):
        uploads = [("a", UPLOAD), ("b", UPLOAD), ("never seen", UPLOAD)]
        assert line.store.hand_over("batch-1", BATCH_TOKEN, SPOOL, uploads) == ["stale"] * 3
