"""What an older version left is brought up to date, once, by the first watcher that leads."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from lib.jobqueue.look import Look
from lib.jobqueue.store import JobStore
from tests.support.wait import wait_until
from tests.support.watchers import RunningWatcher, dispatched, enqueue, slots, spec


@pytest.fixture
def store(redis_url: str) -> Iterator[JobStore]:
    one = JobStore.connect(redis_url)
    yield one
    one.client.close()


def test_older_records_get_their_row_their_place_in_history_and_their_count(redis_url: str, store: JobStore) -> None:
    keys = store.keys
    done = {
        f"old-{n}": json.dumps(
            {"status": "done", "completed_at": f"2023-11-14T22:13:{n % 60:02d}Z", "content_hash": "h"}
        )
        for n in range(2_500)
    }
    store.client.hset(keys.result, mapping=done)
    store.client.hset(keys.index, "old-7", "queued")
    failed = {
        "bad": json.dumps({"status": "failed", "failed_at": "2024-01-01T00:00:00+00:00", "job": {"content_hash": "j"}}),
        "gone": json.dumps({"status": "cancelled"}),
        "torn": "{",
    }
    store.client.hset(keys.failed, mapping=failed)
    with RunningWatcher(redis_url).leading():
        wait_until(lambda: Look(store).backfilled(), timeout=20)
    look = Look(store)
    counts, _ = look.counts()
    assert (counts["done"], counts["failed"], counts["cancelled"], counts["queued"]) == (2_500, 2, 1, 0)
    assert store.client.zcard(keys.history_done) == 2_500
    assert store.client.zscore(keys.history_done, "old-7") == 1_699_999_987_000
    assert store.client.zscore(keys.history_failed, "bad") == 1_704_067_200_000
    assert store.client.zscore(keys.history_failed, "torn") > 1_704_067_200_000
    row = look.row("old-7")
    assert row is not None
    assert (row["state"], row["hash"]) == ("done", "h")
    assert (look.row("bad") or {})["hash"] == "j"
    assert look.unlisted() == 0
    assert store.enqueue([("old-7", "other", "{}")]) == [("already_done", "h")]


def test_an_older_row_whose_job_was_lost_fails_and_all_others_go_on(redis_url: str, store: JobStore) -> None:
    slots(store, 10)
    store.client.xadd(store.keys.jobs_stream, {"job": json.dumps(spec(1))})
    unnamed = spec(2)
    del unnamed["request_id"]
    store.client.xadd(store.keys.jobs_stream, {"job": json.dumps(unnamed)})
    later = json.dumps({"request_id": "topic:beat-003", "job": spec(3)})
    store.client.zadd(store.keys.retry, {later: 4_000_000_000})
    rows = {f"topic:beat-{number:03d}": "queued" for number in (1, 2, 3, 4)}
    store.client.hset(store.keys.index, mapping={**rows, "finished": "done", b"\xff": "queued"})
    with RunningWatcher(redis_url).leading():
        wait_until(lambda: Look(store).backfilled())
        raw = Look(store).raw_failed("topic:beat-004")
        assert json.loads(raw or "")["error_type"] == "spec_lost"
        wait_until(lambda: sorted(dispatched(store)) == ["topic:beat-001", "topic:beat-002"])
    assert list(store.client.hkeys(store.keys.failed)) == ["topic:beat-004"]
    assert store.client.zscore(store.keys.retry, later) == 4_000_000_000
    assert store.client.hget(store.keys.index, "finished") == "done"


def test_it_is_done_once(redis_url: str, store: JobStore) -> None:
    with RunningWatcher(redis_url).leading():
        wait_until(lambda: Look(store).backfilled())
    store.client.hset(store.keys.result, "late", '{"status": "done"}')
    with RunningWatcher(redis_url).leading() as watcher:
        enqueue(store, [spec(1)])
        wait_until(lambda: dispatched(store) and watcher.watcher._audit._next > 0)
    assert Look(store).row("late") is None


def test_a_queue_of_our_own_is_left_as_it_is(redis_url: str, store: JobStore) -> None:
    enqueue(store, [spec(number) for number in range(1_500)])
    with RunningWatcher(redis_url, watcher_window=1).leading():
        wait_until(lambda: Look(store).backfilled(), timeout=20)
    assert sum(Look(store).counts()[0].values()) == 1_500
    assert not store.client.exists(store.keys.failed)
