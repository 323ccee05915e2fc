"""Audit: a job whose carrying entry has vanished goes back to the queue."""

from __future__ import annotations

import pytest

from tests.support.queue_line import SPOOL, UPLOAD_TOKEN, Line, content_hash, record, spec
from tests.support.snapshot import unchanged

pytestmark = pytest.mark.both_redis


def test_a_healthy_queue_is_left_as_it_is(line: Line) -> None:
    line.storing("u")
    line.retrying("r", batch_id="batch-2")
    line.speaking("s", batch_id="batch-3")
    line.queued("q")
    with unchanged(line.client):
        assert line.store.audit(0, 100) == (4, [])


@pytest.mark.parametrize("state", ["queued", "dispatched", "speaking", "uploading", "storing", "retrying"])
def test_a_job_whose_carrier_vanished_is_queued_again(line: Line, state: str) -> None:
    getattr(line, state)("a")
    was = line.state("a")
    if state == "queued":
        line.vanish(line.keys.jobs_stream)
    elif state in ("dispatched", "speaking"):
        line.vanish(line.keys.batches_stream)
    elif state == "retrying":
        line.client.delete(line.keys.retry)
    else:
        line.vanish(line.keys.uploads_stream(SPOOL))
    assert line.store.audit(0, 100) == (1, [("a", was)])
    row = line.row("a")
    assert (row["state"], row["reason"], row["attempt"]) == ("queued", "audit", 1 if state == "retrying" else 0)
    assert line.client.hget(line.keys.specs, "a") == spec("a")
    line.check()
    assert line.store.audit(0, 100) == (1, [])


def test_a_stale_holder_of_a_job_put_back_can_change_nothing(line: Line) -> None:
    entries = line.storing("a")
    line.vanish(line.keys.uploads_stream(SPOOL))
    line.store.audit(0, 100)
    with unchanged(line.client):
        assert line.store.complete(SPOOL, UPLOAD_TOKEN, [("a", entries["a"], "{}")]) == [False]


def test_a_lost_row_with_a_spec_is_made_again(line: Line) -> None:
    line.queued("a")
    line.client.hdel(line.keys.index, "a")
    line.client.hdel(line.keys.counters, "queued")
    assert line.store.audit(0, 100) == (1, [("a", "no_row")])
    assert line.state("a") == "queued"
    entries = [entry for entry, _ in line.client.xrange(line.keys.jobs_stream)]
    [answer] = line.store.admit([(entries[0], "a", content_hash("a"), spec("a"))])
    assert answer.outcome == "superseded"
    line.check()


@pytest.mark.parametrize("records", ["result", "failed"])
def test_a_lost_row_of_an_ended_job_does_not_run_it_again(line: Line, records: str) -> None:
    line.queued("a")
    line.vanish(line.keys.jobs_stream)
    line.client.hdel(line.keys.index, "a")
    line.client.hset(getattr(line.keys, records), "a", record("a", "ended"))
    assert line.store.audit(0, 100) == (1, [])
    assert line.client.xlen(line.keys.jobs_stream) == 0
    assert not line.client.exists(line.keys.outstanding, line.keys.specs)


def test_a_lost_spec_is_reported_and_nothing_changes(line: Line) -> None:
    line.queued("a")
    line.vanish(line.keys.jobs_stream)
    line.client.hdel(line.keys.specs, "a")
    with unchanged(line.client):
        assert line.store.audit(0, 100) == (1, [("a", "no_spec")])


def test_members_without_a_job_are_removed(line: Line) -> None:
    line.done("a")
    line.client.zadd(line.keys.outstanding, {"a": 1, "never seen": 2})
    assert line.store.audit(0, 100) == (2, [])
    line.check_settled()


def test_the_window_is_bounded(line: Line) -> None:
    line.queued("a", "b", "c")
    line.vanish(line.keys.jobs_stream)
    assert line.store.audit(1, 1) == (1, [("b", "queued")])
    assert line.store.audit(0, 1) == (1, [("a", "queued")])
    assert line.store.audit(2, 5) == (1, [("c", "queued")])
    assert line.store.audit(3, 5) == (0, [])
    line.check()
