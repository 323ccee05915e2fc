"""The bill: seconds by state, the ledger file, and what is shown of it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.simulator import ROOT, Simulator
from tests.support.wait import wait_until

pytestmark = pytest.mark.sshd


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-P", "-m", "ops.simulator", *arguments]
    return subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)


def entries(market: Simulator, box: int, kind: str) -> list[dict[str, Any]]:
    lines = (market.state_folder / "ledger.jsonl").read_text().splitlines()
    return [one for one in map(json.loads, lines) if (one["instance_id"], one["kind"]) == (box, kind)]


def test_the_ledger_equals_the_seconds_whatever_the_speed(tmp_path: Path) -> None:
    with Simulator(tmp_path, speed=50, boot={"loading_seconds": 40}) as market:
        before = time.time()
        box = market.rent(disk=100)
        wait_until(lambda: market.row(box)["actual_status"] == "running")
        running = time.time()
        market.ready(box)
        row = market.row(box)
        market.call("PUT", f"/api/v0/instances/{box}/", {"state": "stopped"})
        stopped = time.time()
        wait_until(lambda: time.time() > stopped + 1)
        market.destroy(box)
        gone = time.time()
        gpu, storage = entries(market, box, "gpu"), entries(market, box, "storage")
        assert sum(one["seconds"] for one in gpu) == pytest.approx(stopped - running, abs=0.3)
        assert sum(one["seconds"] for one in storage) == pytest.approx(gone - before, abs=0.3)
        for one in gpu + storage:
            assert one["amount"] == pytest.approx(one["seconds"] / 3600 * one["rate"])
        assert gpu[0]["rate"] == row["dph_base"]
        assert storage[0]["rate"] == row["storage_total_cost"]
        state = market.state()
        spent = sum(
            one["amount"] for kind in ("gpu", "storage", "upload", "download") for one in entries(market, box, kind)
        )
        assert state["money"]["spent"] == pytest.approx(spent)
        assert state["money"]["credit"] == pytest.approx(25 - spent)
        assert state["past_boxes"][0]["amount"] == pytest.approx(spent)


def test_transfers_are_billed_by_the_byte(tmp_path: Path) -> None:
    with Simulator(tmp_path) as market:
        query = {"inet_up_cost": {"gt": 0}, "inet_down_cost": {"gt": 0}, "limit": 1}
        ask = market.call("POST", "/api/v0/bundles/", query)[1]["offers"][0]["id"]
        asked = {"image": "i", "runtype": "ssh_proxy"}
        box = market.call("PUT", f"/api/v0/asks/{ask}/", asked)[1]["new_contract"]
        done = market.ssh(market.ready(box), "head -c 300000 /dev/zero | tr '\\0' x")
        assert len(done.stdout) == 300_000
        market.destroy(box)
        upload = entries(market, box, "upload")
        assert 300_000 < sum(one["bytes"] for one in upload) < 330_000
        assert 0 < sum(one["bytes"] for one in entries(market, box, "download")) < 30_000
        assert all(one["amount"] > 0 for one in upload)


def test_a_killed_simulator_leaves_the_bill_of_what_had_ended(tmp_path: Path) -> None:
    with Simulator(tmp_path) as market:
        box = market.rent()
        market.ready(box)
        market.destroy(box)
        market.process.kill()
        market.process.wait(10)
        assert entries(market, box, "gpu")
        assert entries(market, box, "storage")


def test_a_stopped_simulator_bills_the_boxes_that_still_ran(tmp_path: Path) -> None:
    with Simulator(tmp_path) as market:
        box = market.rent()
        market.ready(box)
    assert entries(market, box, "gpu")


def test_json_and_page_show_boxes_money_and_faults(tmp_path: Path) -> None:
    with Simulator(tmp_path) as market:
        box = market.rent(label="lab")
        market.ready(box)
        market.fault("slow", probability=0.0)
        shown = run("--json", "--url", market.url)
        state = json.loads(shown.stdout)
        assert [one["label"] for one in state["boxes"]] == ["lab"]
        assert state["boxes"][0]["id"] == box
        assert state["money"]["dollars_an_hour"] > 0
        assert state["faults"]["rules"][0]["fault"] == "slow"
        page = subprocess.run(["curl", "-sS", market.url], capture_output=True, text=True, check=True).stdout
        assert "<title>simulator</title>" in page
        taken = run("--port", market.url.rpartition(":")[2])
        assert taken.returncode == 1
        assert "choose one with --port" in taken.stderr
    gone = run("--json", "--url", market.url)
    assert gone.returncode == 1
    assert "does not answer" in gone.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("speed: fast", "speed: 'fast' is not a number"),
        ("sped: 1", "sped: no such field"),
        ("boot: {loading_seconds: [9, 1]}", "boot: loading_seconds: 9 is more than 1"),
        ("faults: [{fault: box_lots}]", "faults, item 1: fault: 'box_lots' is not one of"),
        ("- a list", "a scenario is a mapping"),
        ("a: [", "not YAML"),
    ],
)
def test_a_scenario_that_makes_no_sense_is_refused_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "scenario.yaml"
    file.write_text(text)
    done = run("--port", "0", "--scenario", str(file))
    assert done.returncode == 1
    assert str(file) in done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
