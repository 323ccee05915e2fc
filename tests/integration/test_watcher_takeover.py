"""One watcher after another, and two at a time: only the holder of the lock dispatches, and no lease is lost."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from lib.errors import LeaseLost
from lib.jobqueue.store import JobStore
from tests.support.wait import wait_until
from tests.support.watchers import RunningWatcher, batches, dispatched, enqueue, pending_of, slots, spec


@pytest.fixture
def store(redis_url: str) -> Iterator[JobStore]:
    one = JobStore.connect(redis_url)
    yield one
    one.client.close()


def test_a_second_watcher_stands_by_healthy_but_not_ready(redis_url: str, store: JobStore) -> None:
    with RunningWatcher(redis_url).leading(), RunningWatcher(redis_url, "two") as second:
        wait_until(lambda: second.watcher.not_ready() == "standby: one/watcher-0 holds the lock")
        assert second.health.health()[0]
        enqueue(store, [spec(number) for number in range(20)])
        wait_until(lambda: len(dispatched(store)) == 20)
        assert second.metric("jobrunner_jobs_dispatched_total") == 0
        assert second.metric("jobrunner_watcher_lock_held") == 0
        assert json.loads(store.client.get(store.keys.watcher_heartbeat))["consumer"] == "one/watcher-0"


def test_the_standby_takes_everything_over_at_once_when_the_leader_stops(redis_url: str, store: JobStore) -> None:
    slots(store, 1)
    with RunningWatcher(redis_url, "two", watcher_lock_ttl_ms=60_000) as second:
        wait_until(second.lock.believed)
        second.stop.set()
        second.lock.release()
        with RunningWatcher(redis_url, watcher_batch_max_jobs=3, watcher_lock_ttl_ms=60_000).leading() as first:
            ids = enqueue(store, [spec(number) for number in range(10)])
            wait_until(lambda: first.held.undispatched == 4 and first.held.elsewhere == 6)
        with RunningWatcher(redis_url, "three", watcher_batch_max_jobs=3).leading() as third:
            assert (third.held.undispatched, third.held.elsewhere) == (4, 6)
            assert len(pending_of(store, "three/watcher-0")) == 10
            assert pending_of(store, "one/watcher-0") == []
            slots(store, 2)
            wait_until(lambda: len(dispatched(store)) == 10)
    assert sorted(dispatched(store)) == sorted(ids)


@pytest.mark.both_redis
def test_a_new_watcher_takes_over_more_than_a_page(redis_url: str, store: JobStore) -> None:
    enqueue(store, [spec(number) for number in range(1_250)])
    dead = store.jobs_stream("dead/watcher-0")
    dead.ensure()
    assert len(dead.read(2_000, 0)) == 1_250
    with RunningWatcher(redis_url, watcher_batch_max_jobs=1).leading() as watcher:
        assert len(watcher.held.known()) == 1_250
        assert len(pending_of(store, "one/watcher-0")) == 1_250


@pytest.mark.both_redis
def test_entries_that_vanished_while_nobody_watched_cost_nothing_else(redis_url: str, store: JobStore) -> None:
    enqueue(store, [spec(number) for number in range(3)])
    dead = store.jobs_stream("dead/watcher-0")
    dead.ensure()
    entries = dead.read(10, 0)
    store.client.xdel(store.keys.jobs_stream, entries[1].id)
    with RunningWatcher(redis_url).leading():
        wait_until(lambda: sorted(dispatched(store)) == [f"topic:beat-{number:03d}" for number in range(3)])


def test_a_watcher_that_still_believes_in_a_lost_lock_changes_nothing(redis_url: str, store: JobStore) -> None:
    slots(store, 1)
    with RunningWatcher(redis_url, watcher_batch_min=10, watcher_batch_max_wait=600).leading() as first:
        enqueue(store, [spec(number) for number in range(3)])
        wait_until(lambda: first.held.undispatched == 3)
        first.stop.set()
        for thread in first.threads:
            first.renewer.poke()
            thread.join(10)
        first.lock._until += 3_600  # it was paused, and its clock with it
        store.client.delete(store.keys.watcher_lock)
        with RunningWatcher(redis_url, "two").leading() as second:
            wait_until(lambda: len(dispatched(store)) == 3)
            held = [(job.request_id, job.entry) for jobs in first.held.voices().values() for job in jobs]
            assert len(held) == 3
            with pytest.raises(LeaseLost):
                first.stores[0].dispatch(first.lock.value(), "b-late", "{}", held)
            first.renewer.round()
            assert first.renewer.renewals.get_nowait().lost == {entry for _, entry in held}
            with pytest.raises(LeaseLost):
                first.watcher._audit._stream.adopt(
                    store.keys.watcher_lock, first.lock.value(), [entry for _, entry in held]
                )
            assert len(batches(store)) == 1
            assert len(pending_of(store, "two/watcher-0")) == 3
            first.lock.release()
            assert second.lock.believed()
            assert store.client.get(store.keys.watcher_lock) == second.lock.value()


def test_a_leader_whose_lock_was_taken_knows_nothing_any_more_and_stands_by(redis_url: str, store: JobStore) -> None:
    with RunningWatcher(redis_url, watcher_batch_min=10, watcher_batch_max_wait=600).leading() as watcher:
        enqueue(store, [spec(1)])
        wait_until(lambda: watcher.held.undispatched == 1)
        store.client.set(store.keys.watcher_lock, "two/watcher-0 token", px=60_000)
        wait_until(lambda: watcher.watcher.not_ready() == "standby: two/watcher-0 holds the lock")
        assert watcher.held.known() == set()
        assert watcher.metric("jobrunner_watcher_lock_held") == 0
        assert watcher.metric("jobrunner_lost_leases_total") >= 1
        store.client.delete(store.keys.watcher_lock)
        wait_until(lambda: watcher.held.undispatched == 1, what="it leads again and has the job back")


def test_entries_whose_read_was_never_answered_are_found_again(redis_url: str, store: JobStore) -> None:
    with RunningWatcher(redis_url, watcher_lease_idle_ms=1_000, watcher_audit_seconds=3_600).leading() as watcher:
        stream = store.keys.jobs_stream
        with store.client.pipeline(transaction=True) as pipe:  # before the watcher's own read can have it
            pipe.xadd(stream, {"job": json.dumps(spec(1))})
            pipe.xreadgroup("watchers", "one/watcher-0", {stream: ">"})
            assert len(pipe.execute()[1]) == 1
        wait_until(lambda: dispatched(store) == ["topic:beat-001"])
        wait_until(lambda: watcher.held.elsewhere == 1)


@pytest.mark.both_redis
def test_entries_read_by_a_watcher_that_had_lost_the_lock_are_found_again(redis_url: str, store: JobStore) -> None:
    with RunningWatcher(redis_url, watcher_audit_seconds=0.1).leading() as watcher:
        stale = store.jobs_stream("two/watcher-0")
        for number in range(20):
            enqueue(store, [spec(number)])
            stale.read(10, 0)
        wait_until(lambda: len(dispatched(store)) >= 2)
        slots(store, 20)
        wait_until(lambda: len(dispatched(store)) == 20)
        assert pending_of(store, "two/watcher-0") == []
        assert len(pending_of(store, "one/watcher-0")) == 20
        wait_until(lambda: (watcher.held.undispatched, watcher.held.elsewhere) == (0, 20))
