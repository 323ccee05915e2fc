"""A Redis that is away, slow, full, read-only, emptied or broken under a watcher: it waits, then goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from lib.jobqueue.look import Look
from lib.jobqueue.store import JobStore
from tests.support.redis_server import RedisServer
from tests.support.wait import wait_until
from tests.support.watchers import RunningWatcher, batches, dispatched, enqueue, pending_of, spec


@pytest.fixture
def server(make_redis: Callable[..., RedisServer]) -> RedisServer:
    return make_redis()


@pytest.fixture
def store(server: RedisServer) -> Iterator[JobStore]:
    one = JobStore.connect(server.url, timeout_seconds=2.0)
    yield one
    one.client.close()


def troubled(watcher: RunningWatcher, error_type: str) -> None:
    wait_until(lambda: (watcher.watcher.not_ready() or "").startswith(error_type), what=error_type)


def test_a_crash_of_redis_is_waited_out(server: RedisServer, store: JobStore) -> None:
    with RunningWatcher(server.url).leading() as watcher:
        enqueue(store, [spec(1)])
        wait_until(lambda: dispatched(store) == ["topic:beat-001"])
        server.kill()
        troubled(watcher, "queue_unavailable")
        assert watcher.pulse.reason == "redis: queue_unavailable"
        assert watcher.metric("jobrunner_queue_errors_total", error_type="queue_unavailable") >= 1
        server.start()
        enqueue(store, [spec(2)])
        wait_until(lambda: sorted(dispatched(store)) == ["topic:beat-001", "topic:beat-002"])
        wait_until(lambda: watcher.watcher.not_ready() is None)
        assert watcher.health.health()[0]


def test_a_redis_that_does_not_answer_for_longer_than_the_locks_life_is_waited_out(
    server: RedisServer, store: JobStore
) -> None:
    with RunningWatcher(server.url, watcher_lock_ttl_ms=1_000).leading() as watcher:
        enqueue(store, [spec(1)])
        wait_until(lambda: watcher.held.elsewhere == 1)
        first = watcher.lock.value()
        server.pause()
        wait_until(lambda: not watcher.lock.believed())
        troubled(watcher, "queue_unavailable")
        server.resume()
        wait_until(watcher.lock.believed)
        assert watcher.lock.value() != first, "another term"
        wait_until(lambda: watcher.held.elsewhere == 1)
        enqueue(store, [spec(2)])
        wait_until(lambda: len(dispatched(store)) == 2)


def test_a_watcher_that_starts_before_redis_waits_for_it(server: RedisServer, store: JobStore) -> None:
    server.kill()
    with RunningWatcher(server.url) as watcher:
        troubled(watcher, "queue_unavailable")
        server.start()
        watcher.wait_lead()


@pytest.mark.both_redis
def test_a_full_redis_drains(server: RedisServer, store: JobStore) -> None:
    enqueue(store, [spec(number) for number in range(20)])
    foreign = store.client.xadd(store.keys.jobs_stream, {"job": "not json"})
    adopted = {"job": '{"output_name": "t/b", "voice": "newsroom", "text": "x"}'}
    store.client.xadd(store.keys.jobs_stream, adopted)
    store.jobs_stream("test").ensure()
    store.batches_stream("test").ensure()
    store.client.config_set("maxmemory", "1")
    with RunningWatcher(server.url).leading() as watcher:
        wait_until(lambda: len(dispatched(store)) == 21)
        wait_until(lambda: Look(store).raw_failed(foreign))
        until = watcher.lock._until
        wait_until(lambda: watcher.lock._until > until, what="the lock is renewed")
        assert watcher.watcher.not_ready() is None


def test_a_new_group_on_a_full_redis_is_waited_for_with_its_reason(server: RedisServer, store: JobStore) -> None:
    enqueue(store, [spec(1)])
    store.client.config_set("maxmemory", "1")
    with RunningWatcher(server.url) as watcher:
        troubled(watcher, "queue_full")
        store.client.config_set("maxmemory", "0")
        wait_until(lambda: dispatched(store) == ["topic:beat-001"])


def test_a_read_only_redis_is_waited_out(server: RedisServer, store: JobStore) -> None:
    with RunningWatcher(server.url).leading() as watcher:
        store.client.replicaof("127.0.0.1", "1")
        troubled(watcher, "queue_unavailable")
        store.client.replicaof("no", "one")
        enqueue(store, [spec(1)])
        wait_until(lambda: dispatched(store) == ["topic:beat-001"])


def test_everything_deleted_under_a_live_watcher(server: RedisServer, store: JobStore) -> None:
    with RunningWatcher(server.url, watcher_batch_min=10, watcher_batch_max_wait=600).leading() as watcher:
        enqueue(store, [spec(number) for number in range(5)])
        wait_until(lambda: watcher.held.undispatched == 5)
        store.client.flushall()
        enqueue(store, [spec(number) for number in range(100, 110)])
        wait_until(lambda: len(dispatched(store)) == 10)
        watcher.renewer.poke()
        wait_until(lambda: (watcher.held.undispatched, watcher.held.elsewhere) == (0, 10))
        assert len(pending_of(store, "one/watcher-0")) == 10


def test_a_group_deleted_under_a_live_watcher_is_made_again(server: RedisServer, store: JobStore) -> None:
    with RunningWatcher(server.url).leading():
        store.client.xgroup_destroy(store.keys.jobs_stream, "watchers")
        enqueue(store, [spec(1)])
        wait_until(lambda: dispatched(store) == ["topic:beat-001"])


def test_an_operators_flush_empties_the_memory_too(server: RedisServer, store: JobStore) -> None:
    with RunningWatcher(server.url, watcher_batch_min=10, watcher_batch_max_wait=600).leading() as watcher:
        enqueue(store, [spec(number) for number in range(5)])
        wait_until(lambda: watcher.held.undispatched == 5)
        while store.flush_step():
            pass
        watcher.renewer.poke()
        wait_until(lambda: watcher.held.known() == set())
        assert watcher.lock.believed()
        enqueue(store, [spec(number) for number in range(10)])
        wait_until(lambda: len(dispatched(store)) == 10)


def test_a_key_of_the_wrong_type_is_waited_for_with_its_reason(server: RedisServer, store: JobStore) -> None:
    with RunningWatcher(server.url).leading() as watcher:
        store.client.set(store.keys.result, "a string")
        enqueue_by_hand = {"job": '{"output_name": "t/b", "voice": "newsroom", "text": "x"}'}
        store.client.xadd(store.keys.jobs_stream, enqueue_by_hand)
        troubled(watcher, "queue_corrupt")
        assert "pab:jobs:result holds a string" in (watcher.watcher.not_ready() or "")
        assert batches(store) == []
        store.client.delete(store.keys.result)
        wait_until(lambda: dispatched(store) == ["t:b"], timeout=20)


def test_a_local_clock_that_is_wrong_by_decades_changes_nothing(
    server: RedisServer, store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = time.time
    monkeypatch.setattr("watcher.pulse.time.time", lambda: real() - 1_500_000_000)
    with RunningWatcher(server.url, watcher_batch_min=5, watcher_batch_max_wait=0.5).leading() as watcher:
        enqueue(store, [spec(1)])
        [batch] = wait_until(lambda: batches(store))
        year = time.gmtime(Look(store).now_unix()).tm_year
        assert batch.batch_id.startswith(f"b-{year}")
        assert watcher.pulse.run_id.startswith(f"w-{year}")
        wait_until(lambda: str(Look(store).status(1_000)["watcher_last_seen"]).startswith(str(year)))
