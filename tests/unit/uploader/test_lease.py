"""A lease is believed for less than its life, counted from when the renewal was sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from lib.errors import LeaseLost, QueueUnavailable
from uploader.lease import Leases
from uploader.observe import Observer


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Stream:
    """Answers renewals, slowly where `slow`."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.renewed: list[list[str]] = []
        self.lost: set[str] = set()
        self.slow = 0.0
        self.away = False

    def renew(self, ids: Sequence[str]) -> set[str]:
        self.clock.now += self.slow
        if self.away:
            raise QueueUnavailable("away")
        self.renewed.append(list(ids))
        return self.lost & set(ids)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def stream(clock: Clock) -> Stream:
    return Stream(clock)


@pytest.fixture
def leases(clock: Clock, stream: Stream) -> Leases:
    store = cast(Any, None)
    return Leases(store, cast(Any, stream), 60_000, "tests", "5b0015b0015b", Observer(CollectorRegistry()), clock=clock)


def test_a_lease_is_believed_until_its_ttl_less_a_margin(leases: Leases, clock: Clock) -> None:
    leases.hold("1-0", clock.now)
    clock.now += 49.9
    leases.check("1-0")
    clock.now += 0.2
    with pytest.raises(LeaseLost):
        leases.check("1-0")


def test_a_renewal_counts_from_when_it_was_sent(leases: Leases, clock: Clock, stream: Stream) -> None:
    leases.hold("1-0", clock.now)
    stream.slow = 45.0
    leases.renew()
    assert leases.believed("1-0")
    clock.now += 6
    assert not leases.believed("1-0")


def test_what_another_has_is_lost_at_once_and_not_renewed_again(leases: Leases, clock: Clock, stream: Stream) -> None:
    leases.hold("1-0", clock.now)
    leases.hold("2-0", clock.now)
    stream.lost = {"1-0"}
    leases.renew()
    assert (leases.believed("1-0"), leases.believed("2-0")) == (False, True)
    leases.renew()
    assert stream.renewed[-1] == ["2-0"]


def test_a_step_past_its_deadline_is_not_renewed_and_shows(leases: Leases, clock: Clock, stream: Stream) -> None:
    leases.hold("1-0", clock.now)
    leases.set_deadline("1-0", 20)
    clock.now += 21
    leases.renew()
    assert stream.renewed == []
    assert leases.overdue()
    leases.set_deadline("1-0", None)
    leases.renew()
    assert stream.renewed == [["1-0"]]
    assert not leases.overdue()


def test_an_unreachable_queue_renews_nothing(leases: Leases, clock: Clock, stream: Stream) -> None:
    leases.hold("1-0", clock.now)
    stream.away = True
    clock.now += 30
    with pytest.raises(QueueUnavailable):
        leases.renew()
    clock.now += 21
    assert not leases.believed("1-0")


def test_what_was_let_go_is_believed_no_more(leases: Leases, clock: Clock) -> None:
    leases.hold("1-0", clock.now)
    leases.release("1-0")
    with pytest.raises(LeaseLost):
        leases.check("1-0")
