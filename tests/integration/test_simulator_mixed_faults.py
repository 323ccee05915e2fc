"""All faults at once, by seed: the books stay straight and nothing is left."""

from __future__ import annotations

import http.client
import json
import random
from pathlib import Path
from typing import Any

import pytest

from ops.simulator.fault_list import FAULTS
from ops.simulator.tools import find_tools
from tests.support.simulator import Simulator, own_seconds, processes_with

pytestmark = pytest.mark.sshd

_ASKED = {"image": "i", "disk": 10, "runtype": "ssh_direc ssh_proxy"}


def rules() -> list[dict[str, Any]]:
    """A rule for every fault that this machine can cause."""
    made: list[dict[str, Any]] = []
    for name, fault in FAULTS.items():
        if name == "slow" or (name == "full_disk" and not find_tools().own_mounts):
            continue
        if fault.moment == "request":
            made.append({"fault": name, "probability": 0.05, "endpoint": "create"})
        else:
            made.append({"fault": name, "probability": 0.08})
    return [{**rule, **({"how": "drop"} if rule["fault"] == "reply_lost" else {})} for rule in made]


def attempt(market: Simulator, method: str, path: str, body: dict[str, Any] | None = None) -> None:
    try:
        market.call(method, path, body)
    except (OSError, http.client.HTTPException, json.JSONDecodeError):
        return  # a lost reply, or one that is not JSON: what the faults are for


def act_at_random(market: Simulator, dice: random.Random, mine: int) -> None:
    boxes = [one["id"] for one in market.state()["boxes"]]
    box = dice.choice(boxes) if boxes else 0
    act = dice.choice(("create", "create", "destroy", "stopped", "running", "reboot", "recycle", "bid"))
    if act == "create" and len(boxes) < 12:
        query = {"rentable": {"eq": True}, "limit": 5}
        status, answer = market.call("POST", "/api/v0/bundles/", query)
        if status == 200:
            offer = dice.choice(answer["offers"])["id"]
            attempt(
                market,
                "PUT",
                f"/api/v0/asks/{offer}/",
                {**_ASKED, "onstart": f"setsid sleep {mine} & disown", "price": dice.choice((None, 2.0))},
            )
    elif act == "destroy":
        attempt(market, "DELETE", f"/api/v0/instances/{box}/")
    elif act in ("stopped", "running"):
        attempt(market, "PUT", f"/api/v0/instances/{box}/", {"state": act})
    elif act == "bid":
        attempt(market, "PUT", f"/api/v0/instances/bid_price/{box}/", {"price": None})
    elif act != "create":
        attempt(market, "PUT", f"/api/v0/instances/{act}/{box}/")


@pytest.mark.parametrize("seed", [1, 2])
def test_all_faults_at_once_leave_the_books_straight_and_nothing_behind(tmp_path: Path, seed: int) -> None:
    dice, mine = random.Random(seed), own_seconds()
    with Simulator(tmp_path, seed=seed, speed=50, machines=60, boot={"loading_seconds": [1, 20]}) as market:
        for rule in rules():
            market.call("POST", "/simulator/faults", rule)
        for _ in range(250):
            act_at_random(market, dice, mine)
        state = market.state()
        everyone = [one["id"] for one in state["boxes"] + state["past_boxes"]]
        assert sorted(everyone) == list(range(20_000_001, 20_000_001 + len(everyone)))
        assert len(state["past_boxes"]) > 10
        assert state["machines"]["rented"] == len(state["boxes"])
        assert sum(rule["struck"] > 0 for rule in state["faults"]["rules"]) > len(FAULTS) / 2
        bills = [one["bill"] for one in state["boxes"] + state["past_boxes"]]
        assert state["money"]["spent"] == pytest.approx(sum(bill.get("amount", 0.0) for bill in bills))
    assert market.process.returncode == 0
    assert processes_with(f"sleep\0{mine}") == []
    assert processes_with(str(tmp_path)) == []
