"""Finish a batch: settled once no job is in it, never before."""

from __future__ import annotations

import pytest

from lib.errors import LeaseLost
from lib.jobqueue.store import Holder, Requeue
from tests.support.queue_line import BATCH_TOKEN, LOCK, SPOOL, STALE_TOKEN, Line, record
from tests.support.snapshot import unchanged

pytestmark = pytest.mark.both_redis


def test_an_empty_batch_is_settled_and_leaves_nothing(line: Line) -> None:
    line.done("a")
    assert line.client.hlen(line.keys.batches_index) == 0
    assert line.store.finish_batch("batch-1", BATCH_TOKEN) == set()
    line.check_settled()


def test_a_batch_with_jobs_in_it_stays_and_names_them(line: Line) -> None:
    line.speaking("a", "b", "c")
    line.store.hand_over("batch-1", BATCH_TOKEN, SPOOL, [("b", "{}")])
    with unchanged(line.client):
        assert line.store.finish_batch("batch-1", BATCH_TOKEN) == {"a", "c"}


def test_a_stale_holder_finishes_nothing(line: Line) -> None:
    line.claimed("a")
    line.store.cancel("a", "", record("a", "cancelled"))
    with unchanged(line.client), pytest.raises(LeaseLost):
        line.store.finish_batch("batch-1", STALE_TOKEN)
    assert line.store.finish_batch("batch-1", BATCH_TOKEN) == set()
    line.check_settled()


def test_a_job_that_is_in_another_batch_by_now_does_not_hold_it_open(line: Line) -> None:
    line.speaking("a")
    line.store.requeue(Holder("batch", BATCH_TOKEN), [Requeue("a", "batch-1", "box_lost")])
    entry = line.watcher.read(1, 0)[0].id
    assert line.store.dispatch(LOCK, "batch-2", "{}", [("a", entry)]) == []
    assert line.store.finish_batch("batch-1", BATCH_TOKEN) == set()
    line.check()
