"""Autoclaim: entries idle too long are claimed page by page, and vanished ones acknowledged."""

from __future__ import annotations

import pytest

from tests.support.queue_line import Line

pytestmark = pytest.mark.both_redis


def test_only_what_was_idle_long_enough_is_claimed(line: Line) -> None:
    ids = list(line.queued("a", "b").values())
    line.client.xclaim(line.keys.jobs_stream, "watchers", line.watcher.consumer, 0, [ids[0]], idle=90_000, justid=True)
    args: list[str | int] = ["watchers", "host/watcher-1", 60_000, "0-0", 10]
    cursor, claimed = line.store._scripts.call("autoclaim", [line.keys.jobs_stream], args)
    assert (cursor, claimed) == ("0-0", [ids[0]])
    [row] = line.client.xpending_range(line.keys.jobs_stream, "watchers", ids[0], ids[0], 1)
    assert (row["consumer"], row["times_delivered"]) == ("host/watcher-1", 1), "a reclaim alone is no delivery"


def test_a_take_over_walks_all_pages(line: Line) -> None:
    ids = set(line.queued(*(f"job-{number}" for number in range(25))).values())
    other = line.store.jobs_stream("host/watcher-1")
    found: set[str] = set()
    after = "0-0"
    while after:
        page, after = other.take_over(10, after)
        found |= {one.id for one in page}
    assert found == ids
    assert set(line.pending(line.keys.jobs_stream, "watchers").values()) == {other.consumer}
    own, _ = other.own(100)
    assert {one.id for one in own} == ids


def test_entries_that_vanished_are_acknowledged_and_left_out(line: Line) -> None:
    ids = list(line.queued("a", "b").values())
    line.vanish(line.keys.jobs_stream, ids[0])
    page, _ = line.store.jobs_stream("host/watcher-1").take_over(10)
    assert [one.id for one in page] == [ids[1]]
    assert list(line.pending(line.keys.jobs_stream, "watchers")) == [ids[1]]
    assert line.store.audit(0, 10) == (2, [("a", "queued")])
    line.check()


def test_own_pages_through_what_this_consumer_holds(line: Line) -> None:
    ids = list(line.queued("a", "b", "c").values())
    line.store.jobs_stream("host/watcher-1").reclaim(0, 1, 60_000)
    first, after = line.watcher.own(1)
    rest, end = line.watcher.own(10, after)
    assert [one.id for one in [*first, *rest]] == ids[1:]
    assert end == ""
