"""Cancel: an operator ends an unfinished job wherever it is; its holder can do no more."""

from __future__ import annotations

import pytest

from lib.jobqueue.store import Holder, Requeue
from tests.support.queue_line import BATCH_TOKEN, SPOOL, Line, content_hash, record, spec
from tests.support.snapshot import unchanged

pytestmark = pytest.mark.both_redis


@pytest.mark.parametrize("state", ["queued", "dispatched", "claimed", "speaking", "uploading", "storing", "retrying"])
def test_an_unfinished_job_is_cancelled_wherever_it_is(line: Line, state: str) -> None:
    getattr(line, state)("a")
    spool = SPOOL if state in ("uploading", "storing") else ""
    assert line.store.cancel("a", spool, record("a", "cancelled")) == "cancelled"
    assert line.state("a") == "cancelled"
    assert line.client.hget(line.keys.failed, "a") == record("a", "cancelled")
    line.check()


def test_its_holders_learn_of_it_and_can_change_nothing(line: Line) -> None:
    line.speaking("a")
    line.store.cancel("a", "", record("a", "cancelled"))
    assert line.store.renew_batch("batch-1", line.slot.consumer, BATCH_TOKEN) == set()
    with unchanged(line.client):
        assert line.store.hand_over("batch-1", BATCH_TOKEN, SPOOL, [("a", "{}")]) == ["stale"]
        assert line.store.start_jobs("batch-1", BATCH_TOKEN, ["a"]) == [False]
        holder = Holder("batch", BATCH_TOKEN)
        assert line.store.fail(holder, [("a", "batch-1", "{}", "")]) == [False]
        assert line.store.retry_later(holder, [("a", "batch-1", 1, "")]) == [False]
        assert line.store.requeue(holder, [Requeue("a", "batch-1", "")]) == [False]
    assert line.store.finish_batch("batch-1", BATCH_TOKEN) == set()
    line.check_settled()


@pytest.mark.parametrize("state", ["done", "failed"])
def test_a_final_job_says_how_it_ended(line: Line, state: str) -> None:
    getattr(line, state)("a")
    with unchanged(line.client):
        assert line.store.cancel("a", "", "{}") == state


def test_an_unknown_job_is_unknown(line: Line) -> None:
    line.foreign("foreign")
    with unchanged(line.client):
        assert line.store.cancel("a", "", "{}") == "unknown"
        assert line.store.cancel("foreign", "", "{}") == "unknown"


def test_a_job_that_moved_onto_a_spool_meanwhile_is_looked_at_again(line: Line) -> None:
    line.uploading("a")
    with unchanged(line.client):
        assert line.store.cancel("a", "", "{}") == "moved"
        assert line.store.cancel("a", "another", "{}") == "moved"


def test_a_row_of_an_older_version_is_cancelled_and_its_entry_superseded_later(line: Line) -> None:
    line.client.hset(line.keys.index, "old", "queued")
    entry = line.foreign("old")
    assert line.store.cancel("old", "", record("old", "cancelled")) == "cancelled"
    line.watcher.read(1, 0)
    [answer] = line.store.admit([(entry, "old", content_hash("old"), spec("old"))])
    assert answer.outcome == "superseded"
    line.check_settled()
