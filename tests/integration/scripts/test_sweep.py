"""Sweep: the right to reclaim is one consumer's for a while, also on a Redis that is full."""

from __future__ import annotations

import pytest

from tests.support.queue_line import Line
from tests.support.snapshot import unchanged

pytestmark = pytest.mark.both_redis


def test_one_sweeper_at_a_time(line: Line) -> None:
    line.queued("a", "b")
    first, second = line.store.jobs_stream("host/watcher-1"), line.store.jobs_stream("host/watcher-2")
    assert len(first.reclaim(0, 1, 60_000)) == 1
    with unchanged(line.client):
        assert second.reclaim(0, 10, 60_000) == []
        assert first.reclaim(0, 10, 60_000) == [], "the pace is the fleet's, the sweeper's own too"
    assert line.client.pttl(line.keys.sweep(line.keys.jobs_stream)) > 40_000


def test_a_full_redis_still_reclaims(line: Line) -> None:
    entries = line.queued("a")
    line.client.config_set("maxmemory", "1")
    found = line.store.jobs_stream("host/watcher-1").reclaim(0, 10, 60_000)
    assert [one.id for one in found] == [entries["a"]]


def test_after_a_start_of_redis_nobody_reclaims_for_one_lease(line: Line) -> None:
    line.queued("a")
    with unchanged(line.client):
        assert line.store.jobs_stream("host/watcher-1").reclaim(10**9, 10, 1) == []
        line.client.delete(line.keys.sweep(line.keys.jobs_stream))
