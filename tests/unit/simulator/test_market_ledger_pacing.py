"""Machines by seed, money by the second, and limits by the clock."""

from __future__ import annotations

from pathlib import Path

import pytest

from ops.simulator.ledger import Ledger
from ops.simulator.market import Market
from ops.simulator.pacing import Pacing


def test_a_seed_always_has_the_same_machines() -> None:
    rows = Market(3, 30, 0.0).rows("on-demand", 10, 5.0)
    assert Market(3, 30, 0.0).rows("on-demand", 10, 5.0) == rows
    assert Market(4, 30, 0.0).rows("on-demand", 10, 5.0) != rows
    assert len({row["id"] for row in rows}) == 30


def test_a_machine_is_offered_again_under_a_new_number_and_at_its_usual_price() -> None:
    market = Market(3, 5, 0.0)
    machine = market.machines[0]
    ask, bid = machine.ask_id, machine.min_bid
    market.rent(machine)
    assert market.find(ask) is None
    machine.min_bid *= 2
    market.release(machine)
    assert market.find(ask) is None
    assert market.find(machine.ask_id) is machine
    assert machine.min_bid == bid


def test_meters_bill_by_the_second_and_a_new_rate_starts_a_new_entry(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.start(1, "gpu", 3.6, 100.0)
    ledger.start(1, "gpu", 3.6, 105.0)
    assert ledger.total(110.0) == pytest.approx(0.01)
    assert ledger.dollars_an_hour() == 3.6
    ledger.start(1, "gpu", 7.2, 110.0)
    ledger.stop(1, "gpu", 120.0)
    ledger.stop(1, "gpu", 130.0)
    ledger.transfer(1, "upload", 500_000_000, 0.02, 125.0)
    assert [entry.seconds for entry in ledger.entries(200.0)] == [10.0, 10.0, 0.0]
    assert ledger.total(200.0) == pytest.approx(0.01 + 0.02 + 0.01)
    assert ledger.bill(200.0)[1]["seconds"] == {"gpu": 20.0}
    assert len((tmp_path / "ledger.jsonl").read_text().splitlines()) == 3
    ledger.close(200.0)


def test_limits_hold_for_each_key_and_endpoint_and_are_divided_by_the_speed() -> None:
    pacing = Pacing(speed=2.0)
    assert pacing.refuses("show", "a", 0.0) is None
    assert pacing.refuses("show", "b", 0.0) is None
    assert pacing.refuses("destroy", "a", 0.0) is None
    assert pacing.refuses("show", "a", 0.9) == "API requests too frequent: endpoint threshold=2.0"
    assert pacing.refuses("show", "a", 1.0) is None
    assert pacing.refuses("attach", "a", 0.0) is pacing.refuses("attach", "a", 0.0) is None


def test_creating_too_soon_costs_a_penalty() -> None:
    pacing = Pacing(speed=1.0)
    assert pacing.refuses("create", "a", 0.0) is None
    assert pacing.refuses("create", "a", 1.0) is not None
    assert pacing.refuses("create", "a", 12.0) is not None
    assert pacing.refuses("create", "a", 24.0) is None


def test_ten_searches_a_minute_are_answered() -> None:
    pacing = Pacing(speed=1.0)
    assert [pacing.refuses("search", "a", second) is None for second in range(11)] == [True] * 10 + [False]
    assert pacing.refuses("search", "a", 60.5) is None
