"""Renew: leases on entries stay young, by their owner alone."""

from __future__ import annotations

import pytest

from tests.support.queue_line import Line
from tests.support.snapshot import unchanged

pytestmark = pytest.mark.both_redis


def test_own_entries_are_young_again_and_counted_as_no_delivery(line: Line) -> None:
    ids = list(line.queued("a", "b").values())
    line.client.xclaim(line.keys.jobs_stream, "watchers", line.watcher.consumer, 0, ids, idle=90_000, justid=True)
    assert line.watcher.renew(ids) == set()
    for row in line.client.xpending_range(line.keys.jobs_stream, "watchers", "-", "+", 10):
        assert row["time_since_delivered"] < 60_000
        assert row["times_delivered"] == 1


def test_what_another_holds_or_nobody_is_told_as_lost_and_left_alone(line: Line) -> None:
    ids = line.queued("a", "b")
    other = line.store.jobs_stream("host/watcher-1")
    with unchanged(line.client):
        assert other.renew([*ids.values(), "1-1"]) == {*ids.values(), "1-1"}


def test_more_than_one_page_is_renewed(line: Line) -> None:
    ids = list(line.queued(*(f"job-{number}" for number in range(501))).values())
    assert line.watcher.renew([*ids, "1-1"]) == {"1-1"}
