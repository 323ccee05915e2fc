"""The watchers' lock and the leases as one watcher sees them: when it believes in them, and when no longer."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry

from lib.errors import LeaseLost, QueueUnavailable
from lib.jobqueue.store import JobStore
from lib.telemetry.metrics import WatcherMetrics
from tests.support.watchers import enqueue, pending_of, spec
from watcher.decide import HeldJob
from watcher.held import Held
from watcher.lease import Lock, Renewer
from watcher.observe import Observer

pytestmark = pytest.mark.both_redis

TTL_MS = 10_000


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store(redis_url: str) -> Iterator[JobStore]:
    one = JobStore.connect(redis_url)
    yield one
    one.client.close()


@pytest.fixture
def observer() -> Observer:
    return Observer(WatcherMetrics(CollectorRegistry()))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lock(store: JobStore, observer: Observer, clock: Clock) -> Lock:
    return Lock(store, "one/watcher-0", TTL_MS, lambda: json.dumps({"ts": "now"}), observer, clock)


def test_the_winner_holds_it_and_leaves_its_heartbeat(store: JobStore, lock: Lock) -> None:
    assert lock.acquire() == ""
    assert lock.believed()
    assert store.client.get(store.keys.watcher_lock) == lock.value()
    assert lock.value().startswith("one/watcher-0 ")
    assert 0 < store.client.pttl(store.keys.watcher_lock) <= TTL_MS
    assert store.client.get(store.keys.watcher_heartbeat) == '{"ts": "now"}'


def test_the_loser_learns_who_holds_it_and_leaves_no_heartbeat(store: JobStore, lock: Lock) -> None:
    store.client.set(store.keys.watcher_lock, "two/watcher-0 token")
    assert lock.acquire() == "two/watcher-0"
    assert not lock.believed()
    assert not store.client.exists(store.keys.watcher_heartbeat)
    with pytest.raises(LeaseLost):
        lock.value()


def test_each_term_has_a_token_of_its_own(lock: Lock) -> None:
    lock.acquire()
    first = lock.value()
    lock.release()
    lock.acquire()
    assert lock.value() != first


def test_belief_ends_before_the_lock_does(lock: Lock, clock: Clock) -> None:
    lock.acquire()
    clock.now += 7.9
    assert lock.believed()
    clock.now += 0.2
    assert not lock.believed()
    with pytest.raises(LeaseLost):
        lock.value()


def test_belief_counts_from_when_a_renewal_was_sent(lock: Lock, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    lock.acquire()
    clock.now += 5
    answer_late = lock._store.lock

    def slow(value: str, ttl_ms: int, heartbeat: str) -> str:
        answer = answer_late(value, ttl_ms, heartbeat)
        clock.now += 2
        return answer

    monkeypatch.setattr(lock._store, "lock", slow)
    lock.renew()
    clock.now += 5.9
    assert lock.believed()
    clock.now += 0.2
    assert not lock.believed()


def test_a_renewal_that_fails_ends_nothing_while_the_lock_still_lives(
    lock: Lock, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock.acquire()
    term = lock.value()
    answers = lock._store.lock
    monkeypatch.setattr(lock._store, "lock", unreachable)
    for _ in range(2):
        clock.now += 3
        with pytest.raises(QueueUnavailable):
            lock.renew()
        assert lock.value() == term
    monkeypatch.setattr(lock._store, "lock", answers)
    lock.renew()
    clock.now += 7.9
    assert lock.value() == term


def unreachable(*_: object) -> str:
    raise QueueUnavailable("away")


def test_once_belief_has_ended_the_term_is_over_even_if_nobody_took_the_lock(
    store: JobStore, lock: Lock, clock: Clock
) -> None:
    lock.acquire()
    clock.now += 9
    before = store.client.pttl(store.keys.watcher_lock)
    lock.renew()
    assert not lock.believed()
    assert store.client.pttl(store.keys.watcher_lock) <= before
    lock.renew()
    assert not lock.believed()


def test_a_renewal_that_finds_another_holder_ends_the_term_at_once(store: JobStore, lock: Lock) -> None:
    lock.acquire()
    store.client.set(store.keys.watcher_lock, "two/watcher-0 token")
    lock.renew()
    assert not lock.believed()
    assert store.client.get(store.keys.watcher_lock) == "two/watcher-0 token"


def test_a_lock_of_our_own_earlier_term_does_not_keep_us_waiting(lock: Lock, clock: Clock) -> None:
    lock.acquire()
    clock.now += 9
    lock.renew()
    assert lock.acquire() == ""


def test_releasing_gives_it_back_and_only_ours(store: JobStore, lock: Lock) -> None:
    lock.acquire()
    lock.release()
    assert not lock.believed()
    assert not store.client.exists(store.keys.watcher_lock)
    lock.acquire()
    store.client.set(store.keys.watcher_lock, "two/watcher-0 token")
    lock.release()
    assert store.client.get(store.keys.watcher_lock) == "two/watcher-0 token"
    lock.release()


def test_a_renewal_after_the_release_does_not_take_it_again(store: JobStore, lock: Lock) -> None:
    lock.acquire()
    lock.release()
    lock.renew()
    assert not store.client.exists(store.keys.watcher_lock)


class TestRenewer:
    @pytest.fixture
    def held(self) -> Held:
        return Held()

    @pytest.fixture
    def renewer(self, store: JobStore, lock: Lock, held: Held, observer: Observer) -> Renewer:
        lock.acquire()
        return Renewer(store, "one/watcher-0", 180_000, lock, held, observer)

    def read(self, store: JobStore, count: int, consumer: str = "one/watcher-0") -> list[str]:
        enqueue(store, [spec(number) for number in range(count)])
        stream = store.jobs_stream(consumer)
        stream.ensure()
        return [entry.id for entry in stream.read(count, 0)]

    def age(self, store: JobStore, ids: list[str], consumer: str = "one/watcher-0") -> None:
        for one in ids:
            store.client.xclaim(store.keys.jobs_stream, "watchers", consumer, 0, [one], idle=170_000, justid=True)

    def idle_ms(self, store: JobStore) -> list[int]:
        rows = store.client.xpending_range(store.keys.jobs_stream, "watchers", "-", "+", 2_000)
        assert {row["times_delivered"] for row in rows} <= {0, 1}, "a renewal is no delivery"
        return [row["time_since_delivered"] for row in rows]

    def test_every_entry_we_hold_is_renewed_over_all_pages(self, store: JobStore, held: Held, renewer: Renewer) -> None:
        ids = self.read(store, 1_203)
        held.add_elsewhere(ids)
        self.age(store, ids)
        assert min(self.idle_ms(store)) >= 170_000
        renewer.round()
        assert max(self.idle_ms(store)) < 100_000
        renewal = renewer.renewals.get_nowait()
        assert (renewal.lost, renewal.unknown) == (frozenset(), ())

    def test_what_is_gone_and_what_is_not_in_memory_is_told(
        self, store: JobStore, held: Held, renewer: Renewer
    ) -> None:
        ids = self.read(store, 3)
        held.add([HeldJob("topic:beat-000", ids[0], "newsroom", None, 1.0, 0)])
        held.add_elsewhere([ids[1], "1-1"])
        store.client.xack(store.keys.jobs_stream, "watchers", ids[0])
        renewer.round()
        renewal = renewer.renewals.get_nowait()
        assert renewal.lost == {ids[0], "1-1"}
        assert renewal.unknown == (ids[2],)

    def test_an_entry_of_another_watcher_is_not_stolen_back(
        self, store: JobStore, held: Held, renewer: Renewer
    ) -> None:
        ids = self.read(store, 2)
        held.add_elsewhere(ids)
        store.jobs_stream("two/watcher-0").take_over(10)
        renewer.round()
        assert renewer.renewals.get_nowait().lost == set(ids)
        assert pending_of(store, "two/watcher-0") == ids

    def test_without_the_lock_nothing_is_renewed(
        self, store: JobStore, held: Held, renewer: Renewer, clock: Clock
    ) -> None:
        ids = self.read(store, 1)
        held.add_elsewhere(ids)
        self.age(store, ids)
        clock.now += 9
        with pytest.raises(LeaseLost):
            renewer.round()
        assert min(self.idle_ms(store)) >= 170_000
        assert renewer.renewals.empty()
