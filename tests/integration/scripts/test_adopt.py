"""Adopt: the holder of the lock takes delivered entries over, whoever held them."""

from __future__ import annotations

import pytest

from lib.errors import LeaseLost
from tests.support.queue_line import LOCK, Line
from tests.support.snapshot import unchanged

pytestmark = pytest.mark.both_redis


def test_entries_of_a_dead_watcher_and_those_acknowledged_by_hand_are_ours(line: Line) -> None:
    ids = list(line.queued("a", "b").values())
    line.client.xack(line.keys.jobs_stream, "watchers", ids[1])
    line.lock()
    other = line.store.jobs_stream("host/watcher-1")
    assert other.adopt(line.keys.watcher_lock, LOCK, [*ids, "1-1"]) == set(ids)
    assert line.pending(line.keys.jobs_stream, "watchers") == dict.fromkeys(ids, other.consumer)
    line.check()


def test_without_the_lock_nothing_is_taken(line: Line) -> None:
    ids = list(line.queued("a").values())
    with unchanged(line.client), pytest.raises(LeaseLost):
        line.store.jobs_stream("host/watcher-1").adopt(line.keys.watcher_lock, LOCK, ids)
