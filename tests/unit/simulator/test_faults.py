"""Rules: when they strike, and that every fault is proven by a test of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ops.simulator.fault_list import FAULTS
from ops.simulator.faults import FaultError, FaultPlan, rule_from

TESTS = Path(__file__).resolve().parents[2] / "integration"


class Watch:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def plan(*rules: dict[str, Any], seed: int = 1, watch: Watch | None = None) -> FaultPlan:
    made = FaultPlan(seed, watch or Watch())
    for rule in rules:
        made.add(rule)
    return made


def strikes(made: FaultPlan, count: int, **where: Any) -> list[bool]:
    return [bool(made.strikes("box", **where)) for _ in range(count)]


def test_probability_is_seeded() -> None:
    rule = {"fault": "box_lost", "probability": 0.4}
    first = strikes(plan(rule), 200)
    assert 50 < sum(first) < 110
    assert strikes(plan(rule), 200) == first
    assert strikes(plan(rule, seed=2), 200) != first


def test_occasions_times_and_machines_narrow_a_rule() -> None:
    assert strikes(plan({"fault": "box_lost", "occasions": [2, 3]}), 4) == [False, True, True, False]
    assert strikes(plan({"fault": "box_lost", "times": 1}), 3) == [True, False, False]
    narrow = plan({"fault": "box_lost", "machine_id": 7})
    assert strikes(narrow, 1, machine_id=8) == [False]
    assert strikes(narrow, 1, machine_id=7) == [True]


def test_a_rule_may_hold_for_a_stretch_of_time() -> None:
    watch = Watch()
    made = plan({"fault": "box_lost", "from_seconds": 10, "until_seconds": 20}, watch=watch)
    found = []
    for watch.seconds in (0.0, 10.0, 19.0, 20.0):
        found += strikes(made, 1)
    assert found == [False, True, True, False]


def test_parameters_have_defaults_that_a_rule_may_change() -> None:
    made = plan({"fault": "outbid", "for_seconds": 5})
    (strike,) = made.strikes("box")
    assert strike.parameters == {"after_seconds": 30.0, "for_seconds": 5, "intended": "stopped"}


def test_a_removed_rule_no_longer_strikes() -> None:
    made = plan({"fault": "box_lost"}, {"fault": "exited"})
    assert made.remove(1) == 1
    assert [one.fault for one in made.strikes("box")] == ["exited"]
    assert made.remove() == 1
    assert made.strikes("box") == []


@pytest.mark.parametrize(
    "fields",
    [
        {}, {"fault": "x"}, {"fault": "slow", "seconds": "1"}, {"fault": "slow", "seconds": True},
        {"fault": "slow", "machine_id": 3}, {"fault": "exited", "endpoint": "show"}, {"fault": "exited", "times": 0},
        {"fault": "wrong_gpu", "name": 3}, {"fault": "exited", "occasions": [0]},
    ],
)  # fmt: skip
def test_a_rule_that_makes_no_sense_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(FaultError):
        rule_from(fields, 1)


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_every_fault_has_a_test_of_its_own(fault: str) -> None:
    files = ("test_simulator_request_faults.py", "test_simulator_box_faults.py")
    text = "".join((TESTS / file).read_text() for file in files)
    assert f"def test_{fault}" in text or f"_and_{fault}(" in text


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_the_document_describes_every_fault_with_its_defaults(fault: str) -> None:
    document = (TESTS.parents[1] / "docs/simulator.md").read_text()
    row = next((line for line in document.splitlines() if line.startswith(f"| `{fault}` |")), "")
    assert FAULTS[fault].about in row
    for name, default in FAULTS[fault].parameters.items():
        assert f"`{name}: {'null' if default is None else default}`" in row
