"""A running watcher on a real Redis: from the jobs stream to the batches stream."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from lib.jobqueue.look import Look
from lib.jobqueue.store import JobStore
from tests.support.wait import wait_until
from tests.support.watchers import (
    RunningWatcher,
    batches,
    dispatched,
    enqueue,
    pending_of,
    run_through,
    slots,
    spec,
)


@pytest.fixture
def store(redis_url: str) -> Iterator[JobStore]:
    one = JobStore.connect(redis_url)
    yield one
    one.client.close()


@pytest.mark.both_redis
def test_a_single_job_is_dispatched_at_once(redis_url: str, store: JobStore) -> None:
    with RunningWatcher(redis_url).leading() as watcher:
        [request_id] = enqueue(store, [spec(1)])
        [batch] = wait_until(lambda: batches(store))
        assert batch.request_ids == (request_id,)
        assert batch.header == {
            "v": 1,
            "voice": "newsroom",
            "speaker": None,
            "estimated_seconds": batch.header["estimated_seconds"],
            "jobs": 1,
        }
        assert batch.header["estimated_seconds"] > 1
        assert batch.batch_id.startswith("b-20")
        wait_until(lambda: watcher.metric("jobrunner_jobs_dispatched_total") == 1)
        assert watcher.metric("jobrunner_entries_admitted_total", outcome="held") == 1
        assert len(pending_of(store, "one/watcher-0")) == 1


@pytest.mark.both_redis
def test_a_backlog_passes_through_with_at_most_two_batches_outstanding(redis_url: str, store: JobStore) -> None:
    slots(store, 1)
    ids = enqueue(store, [spec(number, voice=f"v{number % 3}") for number in range(300)])
    done: list[str] = []
    with RunningWatcher(redis_url, watcher_batch_max_jobs=20).leading():

        def forward() -> bool:
            assert store.batches_stream("test").length() <= 2
            done.extend(run_through(store))
            return len(done) >= len(ids)

        wait_until(forward, timeout=30)
    assert sorted(done) == sorted(ids)
    status = Look(store).status(180_000)
    assert (status["outstanding"], status["pending"], status["batches_open"]) == (0, 0, 0)
    assert status["states"]["done"] == 300


def test_a_batch_is_one_voice_or_speaker(redis_url: str, store: JobStore) -> None:
    slots(store, 3)
    enqueue(store, [spec(1), spec(2, voice=None, speaker="Ryan"), spec(3), spec(4, voice=None, speaker="Ryan")])
    with RunningWatcher(redis_url, watcher_batch_min=2, watcher_batch_max_wait=0.2).leading():
        made = wait_until(lambda: len(dispatched(store)) == 4 and batches(store))
    for batch in made:
        speakers = {request_id in ("topic:beat-002", "topic:beat-004") for request_id in batch.request_ids}
        assert len(speakers) == 1
        assert (batch.header["speaker"], batch.header["voice"]) == (
            ("Ryan", None) if speakers == {True} else (None, "newsroom")
        )


def test_a_small_backlog_is_spread_over_the_slots(redis_url: str, store: JobStore) -> None:
    slots(store, 3)
    enqueue(store, [spec(number) for number in range(9)])
    with RunningWatcher(redis_url).leading():
        wait_until(lambda: len(dispatched(store)) == 9)
    assert [len(batch.request_ids) for batch in batches(store)] == [3, 3, 3]


def test_the_window_bounds_what_is_read(redis_url: str, store: JobStore) -> None:
    enqueue(store, [spec(number) for number in range(50)])
    with RunningWatcher(redis_url, watcher_window=10, watcher_batch_max_jobs=5).leading() as watcher:
        wait_until(lambda: len(dispatched(store)) == 10 and watcher.held.undispatched == 10)
        assert len(pending_of(store, "one/watcher-0")) == 20
        assert watcher.held.elsewhere == 10
        run_through(store)
        wait_until(lambda: len(pending_of(store, "one/watcher-0")) == 20 and store.client.xlen("pab:jobs:stream") == 45)


def test_jobs_that_wait_for_company_say_so_and_start_when_they_waited_long_enough(
    redis_url: str, store: JobStore
) -> None:
    with RunningWatcher(redis_url, watcher_batch_min=10, watcher_batch_max_wait=1.0).leading() as watcher:
        enqueue(store, [spec(1), spec(2)])
        wait_until(lambda: watcher.pulse.reason == "waiting_for_batch")
        assert batches(store) == []
        wait_until(lambda: dispatched(store) == ["topic:beat-001", "topic:beat-002"])


def test_the_heartbeat_says_why_nothing_more_is_dispatched(redis_url: str, store: JobStore) -> None:
    def reason() -> str | None:
        return Look(store).status(180_000)["watcher_reason"]

    with RunningWatcher(redis_url, watcher_batch_max_jobs=1, watcher_lock_ttl_ms=1_000).leading() as watcher:
        wait_until(lambda: reason() == "idle")
        enqueue(store, [spec(number) for number in range(5)])
        wait_until(lambda: reason() == "no_slots")
        slots(store, 1)
        wait_until(lambda: reason() == "no_capacity")
        beat = json.loads(store.client.get(store.keys.watcher_heartbeat))
        assert beat["consumer"] == "one/watcher-0"
        assert beat["run_id"] == watcher.pulse.run_id
        assert (beat["held"], beat["outstanding_batches"]) == (3, 2)


def test_a_job_flagged_to_go_alone_does(redis_url: str, store: JobStore) -> None:
    ids = enqueue(store, [spec(number) for number in range(4)])
    row = json.loads(store.client.hget(store.keys.index, ids[1]))
    store.client.hset(store.keys.index, ids[1], json.dumps({**row, "alone": 1}))
    with RunningWatcher(redis_url).leading():
        wait_until(lambda: len(dispatched(store)) == 4)
    assert sorted(batch.request_ids for batch in batches(store)) == [(ids[0], ids[2], ids[3]), (ids[1],)]


def test_a_job_cancelled_while_it_is_held_is_dropped_and_the_others_go_on(redis_url: str, store: JobStore) -> None:
    with RunningWatcher(redis_url, watcher_batch_min=10, watcher_batch_max_wait=600).leading() as watcher:
        enqueue(store, [spec(number) for number in range(9)])
        wait_until(lambda: watcher.held.undispatched == 9)
        assert store.cancel("topic:beat-003", "", '{"status": "cancelled"}') == "cancelled"
        enqueue(store, [spec(number) for number in range(9, 12)])
        wait_until(lambda: len(dispatched(store)) == 11)
        assert "topic:beat-003" not in dispatched(store)
        wait_until(lambda: watcher.held.undispatched == 0)


def test_the_lease_of_a_settled_job_is_forgotten_and_memory_stays_bounded(redis_url: str, store: JobStore) -> None:
    with RunningWatcher(redis_url, watcher_lease_idle_ms=1_000).leading() as watcher:
        enqueue(store, [spec(number) for number in range(20)])
        wait_until(lambda: watcher.held.elsewhere == 20)
        wait_until(lambda: run_through(store))
        wait_until(lambda: watcher.held.elsewhere == 0)
        assert watcher.held.known() == set()


def test_leases_are_renewed_while_jobs_are_held_and_while_they_are_in_a_batch(redis_url: str, store: JobStore) -> None:
    def idle_ms() -> list[int]:
        rows = store.client.xpending_range(store.keys.jobs_stream, "watchers", "-", "+", 10)
        return [row["time_since_delivered"] for row in rows]

    with RunningWatcher(redis_url, watcher_lease_idle_ms=1_000, watcher_batch_max_jobs=1).leading():
        enqueue(store, [spec(number) for number in range(4)])
        wait_until(lambda: len(dispatched(store)) == 2 and len(idle_ms()) == 4)
        for _ in range(3):
            wait_until(lambda: min(idle_ms()) > 100)
            wait_until(lambda: max(idle_ms()) < 100)
        assert Look(store).status(900)["stale_pel"] == 0
        rows = store.client.xpending_range(store.keys.jobs_stream, "watchers", "-", "+", 10)
        assert {row["times_delivered"] for row in rows} == {1}


def test_the_gauges_follow_the_counters(redis_url: str, store: JobStore) -> None:
    enqueue(store, [spec(1)])
    with RunningWatcher(redis_url).leading() as watcher:
        wait_until(lambda: watcher.metric("jobrunner_jobs", state="queued") == 1)
        assert watcher.metric("jobrunner_oldest_job_timestamp_seconds") > 1_700_000_000
        assert watcher.metric("jobrunner_watcher_lock_held") == 1
        assert Look(store).live_workers("watcher") == ["one"]


@pytest.mark.parametrize("prefix", ["{pab}:", "other:"])
def test_another_prefix_is_another_queue(redis_url: str, prefix: str) -> None:
    store = JobStore.connect(redis_url, prefix)
    with RunningWatcher(redis_url, key_prefix=prefix).leading():
        enqueue(store, [spec(1)])
        wait_until(lambda: batches(store))
    assert all(key.startswith(prefix) for key in store.client.scan_iter())
    store.client.close()


@pytest.mark.both_redis
def test_jobs_that_waited_for_weeks_are_not_dropped_for_their_age(redis_url: str, store: JobStore) -> None:
    old_ms = (int(Look(store).now_unix()) - 30 * 86_400) * 1000
    for number in range(300):
        store.client.xadd(store.keys.jobs_stream, {"job": json.dumps(spec(number))}, id=f"{old_ms}-{number + 1}")
    slots(store, 1)
    done: list[str] = []
    with RunningWatcher(redis_url, watcher_batch_max_jobs=40).leading() as watcher:
        wait_until(lambda: done.extend(run_through(store)) or len(done) >= 300, timeout=30)
        assert sorted(done) == [f"topic:beat-{number:03d}" for number in range(300)]
        wait_until(lambda: watcher.pulse.reason == "idle")
    assert store.client.hlen(store.keys.result) == 300
    assert store.client.xlen(store.keys.jobs_stream) == 0
