"""Flush: empties what is unfinished, in bounded steps, and leaves what has ended."""

from __future__ import annotations

import pytest

from lib.errors import LeaseLost
from tests.support.queue_line import BATCH_TOKEN, LOCK, SPOOL, UPLOAD_TOKEN, Line
from tests.support.snapshot import unchanged

pytestmark = pytest.mark.both_redis


def _flush(line: Line, limit: int = 500) -> int:
    removed = 0
    while step := line.store.flush_step(limit):
        removed += step
    return removed


def _everywhere(line: Line) -> None:
    line.done("d")
    line.failed("f", batch_id="batch-2")
    line.storing("u", batch_id="batch-3")
    line.retrying("r", batch_id="batch-4")
    line.speaking("s", "s2", batch_id="batch-5")
    line.queued("q", "q2")


@pytest.mark.parametrize("limit", [1, 2, 500])
def test_only_records_and_groups_remain(line: Line, limit: int) -> None:
    _everywhere(line)
    assert _flush(line, limit) > 0
    assert {one: line.state(one) for one in ("d", "f")} == {"d": "done", "f": "failed"}
    assert line.client.hlen(line.keys.index) == 2
    line.check_settled()
    for stream in (line.watcher, line.slot, line.uploader):
        assert stream.read(10, 0) == []


def test_the_lock_and_the_workers_stay(line: Line) -> None:
    _everywhere(line)
    line.store.beat("watcher/host")
    _flush(line)
    assert line.client.get(line.keys.watcher_lock) == LOCK
    assert line.client.exists(line.keys.watcher_heartbeat, line.keys.workers) == 2


def test_holders_of_what_was_flushed_can_change_nothing(line: Line) -> None:
    entries = line.storing("u")
    line.speaking("s", batch_id="batch-2")
    _flush(line)
    with unchanged(line.client):
        assert line.store.complete(SPOOL, UPLOAD_TOKEN, [("u", entries["u"], "{}")]) == [False]
        assert line.store.hand_over("batch-2", BATCH_TOKEN, SPOOL, [("s", "{}")]) == ["stale"]
        with pytest.raises(LeaseLost):
            line.store.renew_batch("batch-2", line.slot.consumer, BATCH_TOKEN)


def test_a_flushed_request_can_be_queued_again(line: Line) -> None:
    _everywhere(line)
    _flush(line)
    assert line.enqueue("q", "s", "u", "r", "d", "f") == [*["queued"] * 4, "already_done", "duplicate_request"]
    line.check()


def test_outstanding_members_without_a_row_do_not_end_it_early(line: Line) -> None:
    line.client.zadd(line.keys.outstanding, {f"never seen {number}": number for number in range(3)})
    _flush(line, 2)
    line.check_settled()


def test_foreign_and_unread_entries_go_too(line: Line) -> None:
    line.foreign("a")
    line.client.xadd(line.keys.jobs_stream, {"rubbish": "1"})
    line.client.xadd(line.keys.batches_stream, {"rubbish": "1"})
    _flush(line)
    line.check_settled()


def test_nothing_to_flush_changes_nothing(line: Line) -> None:
    line.done("d")
    with unchanged(line.client):
        assert line.store.flush_step() == 0
