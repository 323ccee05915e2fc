"""Dispatch: undispatched jobs go into a batch, all of them or none, by the holder of the lock."""

from __future__ import annotations

import pytest

from lib.errors import LeaseLost
from tests.support.queue_line import LOCK, Line, record
from tests.support.snapshot import unchanged

pytestmark = pytest.mark.both_redis


def test_jobs_go_into_one_batch_whose_entry_carries_header_and_ids_in_order(line: Line) -> None:
    message = line.dispatched("b", "a")
    assert message.request_ids == ("b", "a")
    assert message.header == {"v": 1}
    assert line.batch()["entry"] == message.entry
    assert {line.row(one)["batch"] for one in "ab"} == {"batch-1"}
    assert line.client.hgetall(line.keys.counters) == {"queued": "0", "dispatched": "2"}
    assert line.client.xlen(line.keys.jobs_stream) == 2, "the entries stay, leased by the watcher"
    line.check()


@pytest.mark.parametrize("held", [False, True])
def test_without_the_lock_nothing_is_dispatched(line: Line, held: bool) -> None:
    jobs = list(line.queued("a").items())
    if held:
        line.store.lock("another lock", 60_000, "{}")
    with unchanged(line.client), pytest.raises(LeaseLost):
        line.store.dispatch(LOCK, "batch-1", "{}", jobs)


def test_one_stale_job_holds_all_of_them_back(line: Line) -> None:
    entries = line.queued("a", "b", "c")
    line.lock()
    line.store.cancel("b", "", record("b", "cancelled"))
    jobs = [*entries.items(), ("never seen", "1-1"), ("a", "1-1")]
    with unchanged(line.client):
        assert line.store.dispatch(LOCK, "batch-1", "{}", jobs) == ["b", "never seen", "a"]


def test_a_job_twice_in_one_batch_is_refused(line: Line) -> None:
    entries = line.queued("a")
    line.lock()
    with unchanged(line.client):
        assert line.store.dispatch(LOCK, "batch-1", "{}", [("a", entries["a"])] * 2) == ["a"]


def test_a_job_in_one_batch_cannot_go_into_another(line: Line) -> None:
    line.dispatched("a")
    with unchanged(line.client):
        assert line.store.dispatch(LOCK, "batch-2", "{}", [("a", line.row("a")["entry"])]) == ["a"]


def test_a_repeat_after_the_batch_was_claimed_says_ok_and_leaves_the_claim(line: Line) -> None:
    line.claimed("a")
    with unchanged(line.client):
        assert line.store.dispatch(LOCK, "batch-1", "{}", [("a", line.row("a")["entry"])]) == []
