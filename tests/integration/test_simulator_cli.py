"""The unmodified CLI against the simulator."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.support.simulator import Simulator
from tests.support.wait import wait_until

pytestmark = pytest.mark.sshd


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with Simulator(tmp_path_factory.mktemp("market"), speed=20) as simulator:
        yield simulator


def test_the_whole_life_of_a_box_by_the_cli(market: Simulator) -> None:
    found = market.cli("search", "offers", "num_gpus=1", "-o", "dph_total", "--limit", "2", "--raw")
    offers = json.loads(found.stdout)
    assert len(offers) == 2
    assert "RTX_4090" in market.cli("search", "offers", "gpu_name=RTX_4090").stdout
    assert "ssh-key created" in market.cli("create", "ssh-key", market.public_key).stdout
    made = market.cli(
        *("create", "instance", str(offers[0]["id"]), "--image", "image:1", "--disk", "10", "--label", "lab"),
        *("--ssh", "--direct", "--onstart-cmd", "echo from onstart", "--raw"),
    )
    box = str(json.loads(made.stdout)["new_contract"])
    wait_until(lambda: market.box(int(box))["keys_accepted"])
    assert json.loads(market.cli("show", "instance", box, "--raw").stdout)["actual_status"] == "running"
    assert "lab" in market.cli("show", "instances").stdout
    assert [one["id"] for one in json.loads(market.cli("show", "instances", "--raw").stdout)] == [int(box)]
    assert market.cli("ssh-url", box).stdout.strip() == f"ssh://root@127.0.0.1:{market.box(int(box))['direct_port']}"
    assert "from onstart" in market.cli("logs", box).stdout
    assert "set to other" in market.cli("label", "instance", box, "other").stdout
    assert market.row(int(box))["label"] == "other"
    market.cli("attach", "ssh", box, market.public_key)
    market.cli("stop", "instance", box)
    assert market.row(int(box))["cur_state"] == "stopped"
    market.cli("start", "instance", box)
    wait_until(lambda: market.row(int(box))["actual_status"] == "running")
    for act in ("reboot", "recycle"):
        market.cli(act, "instance", box)
        wait_until(lambda: market.row(int(box))["actual_status"] == "running")
    charges = json.loads(market.cli("show", "invoices-v1", "--charges", "--raw").stdout)
    assert f"instance-{box}" in json.dumps(charges)
    assert f"{box}" in market.cli("show", "invoices-v1", "--charges").stdout
    assert json.loads(market.cli("show", "user", "--raw").stdout)["credit"] > 24
    assert market.public_key in market.cli("show", "ssh-keys").stdout
    asked = market.cli("destroy", "instance", box)
    assert asked.returncode == 0
    assert "Aborted" in asked.stdout
    assert market.row(int(box)) is not None
    market.cli("destroy", "instance", box, "-y")
    assert market.row(int(box)) is None


def test_a_bid_by_the_cli(market: Simulator) -> None:
    offers = json.loads(market.cli("search", "offers", "num_gpus=1", "--type", "bid", "--raw").stdout)
    arguments = ("--image", "image:1", "--ssh", "--raw", "--bid_price", str(offers[0]["min_bid"] * 2))
    made = market.cli("create", "instance", str(offers[0]["id"]), *arguments)
    box = int(json.loads(made.stdout)["new_contract"])
    assert market.row(box)["is_bid"]
    market.cli("change", "bid", str(box), "--price", "3.5")
    assert market.row(box)["dph_base"] == 3.5
    market.destroy(box)


def test_errors_reach_the_cli_in_its_own_way(market: Simulator) -> None:
    gone = market.cli("create", "instance", "12345", "--image", "image:1", "--ssh", "--raw")
    assert gone.returncode == 0
    assert "no_such_ask" in gone.stderr
