"""The unmodified SDK against the simulator, endpoint by endpoint."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.simulator import Simulator
from tests.support.wait import wait_until

pytestmark = pytest.mark.sshd


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with Simulator(tmp_path_factory.mktemp("market"), machines=60, speed=20) as simulator:
        yield simulator


@pytest.fixture
def sdk(market: Simulator) -> Iterator[Any]:
    sdk = market.sdk()
    yield sdk
    for row in sdk.show_instances():
        sdk.destroy_instance(row["id"])


def rent(market: Simulator, sdk: Any, **more: Any) -> int:
    answer = sdk.create_instance(
        market.offer()["id"], image="image:1", disk=12, ssh=True, direct=True, cancel_unavail=True, **more
    )
    assert answer["success"]
    assert answer["instance_api_key"]
    return int(answer["new_contract"])


def test_offers_are_filtered_by_numbers_in_strings_lists_and_booleans(sdk: Any) -> None:
    offers = sdk.search_offers("num_gpus=1 gpu_ram>=20 dph<0.9 reliability>0.9 geolocation notin [CN,VN]", order="dph")
    assert offers
    for offer in offers:
        assert offer["num_gpus"] == 1
        assert offer["gpu_ram"] >= 20_000
        assert offer["dph_total"] < 0.9
        assert offer["reliability"] > 0.9
        assert offer["verified"]
        assert offer["geolocation"][-2:] not in ("CN", "VN")
    assert [one["dph_total"] for one in offers] == sorted(one["dph_total"] for one in offers)
    named = sdk.search_offers('gpu_name in ["RTX 4090",RTX_3090] driver_version>=535.86.05', order="score-")
    assert {one["gpu_name"] for one in named} == {"RTX 4090", "RTX 3090"}
    assert len(sdk.search_offers("gpu_ram=24")) == 0
    assert len(sdk.search_offers("", no_default=True, limit=5)) == 5


def test_bids_are_cheaper_than_on_demand_and_storage_adds_to_the_price(market: Simulator, sdk: Any) -> None:
    machine = market.offer()["machine_id"]

    def price(**more: Any) -> float:
        return float(sdk.search_offers(f"machine_id={machine}", **more)[0]["dph_total"])

    assert price(type="bid", storage=10) < price(storage=10) < price(storage=500)


def test_the_new_search_answers_like_the_old_one(sdk: Any) -> None:
    assert sdk.search_offers_new("num_gpus=1", limit=3)[0]["num_gpus"] == 1


def test_no_more_than_64_offers_are_answered(tmp_path: Path) -> None:
    with Simulator(tmp_path, machines=200) as many:
        assert len(many.sdk().search_offers("", no_default=True, limit=500)) == 64


def test_a_box_goes_from_null_to_running_and_is_gone_after_destroy(market: Simulator, sdk: Any) -> None:
    box = rent(market, sdk, label="lab", env={"A": "1", "-p 8080:8080": "1"})
    wait_until(lambda: sdk.show_instance(box)["ports"], what="ports")
    row = sdk.show_instance(box)
    assert row["actual_status"] == row["intended_status"] == row["cur_state"] == "running"
    assert row["label"] == "lab"
    assert row["extra_env"] == {"A": "1", "-p 8080:8080": "1"}
    assert row["status_msg"].startswith("success, running image:1/ssh")
    assert row["disk_space"] == 12
    assert sdk.ssh_url(box).startswith("ssh://root@127.0.0.1:")
    assert sdk.destroy_instance(box)["success"]
    assert sdk.show_instance(box) is None
    with pytest.raises(requests.HTTPError) as failure:
        sdk.destroy_instance(box)
    assert failure.value.response.json()["error"] == "no_such_instance"


def test_an_ask_is_used_up_by_renting_it(market: Simulator, sdk: Any) -> None:
    ask = market.offer()["id"]
    sdk.create_instance(ask, image="i", ssh=True)
    for cancel, status, error in ((True, 410, "no_such_ask"), (False, 404, "invalid_args")):
        with pytest.raises(requests.HTTPError) as failure:
            sdk.create_instance(ask, image="i", ssh=True, cancel_unavail=cancel)
        assert failure.value.response.status_code == status
        assert failure.value.response.json()["error"] == error
        assert "no_such_ask" in failure.value.response.json()["msg"]


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"image": None}, "invalid_args"),
        ({"disk": 4}, "invalid_args"),
        ({"label": "x" * 257}, "invalid_args"),
        ({"onstart_cmd": "x" * 4097}, "invalid_args"),
        ({"bid_price": 500.0}, "invalid_price"),
    ],
)
def test_create_refuses_what_the_marketplace_refuses(
    market: Simulator, sdk: Any, wrong: dict[str, Any], error: str
) -> None:
    with pytest.raises(requests.HTTPError) as failure:
        sdk.create_instance(market.offer()["id"], **{"image": "i", "ssh": True, **wrong})
    assert failure.value.response.status_code == 400
    assert failure.value.response.json()["error"] == error
    assert sdk.show_instances() == []


def test_a_bid_below_the_minimum_is_an_error_that_holds_a_stopped_contract(market: Simulator, sdk: Any) -> None:
    with pytest.raises(requests.HTTPError) as failure:
        sdk.create_instance(market.offer()["id"], image="i", ssh=True, bid_price=0.001)
    box = failure.value.response.json()["new_contract"]
    assert sdk.show_instance(box)["cur_state"] == "stopped"
    assert sdk.change_bid(box, None)["success"]
    assert sdk.start_instance(box)["success"]
    wait_until(lambda: sdk.show_instance(box)["actual_status"] == "running")


def test_listing_goes_through_all_pages_and_filters_by_label(market: Simulator, sdk: Any) -> None:
    boxes = [rent(market, sdk, label=f"lab-{number % 2}") for number in range(27)]
    assert [row["id"] for row in sdk.show_instances()] == boxes
    answer = sdk.show_instances_v1({"select_filters": {"label": {"eq": "lab-1"}}, "limit": 5})
    assert len(answer["instances"]) == 5
    assert answer["total_instances"] == 13
    assert answer["label_counts"] == {"lab-1": 13}
    assert answer["next_token"]
    with pytest.raises(requests.HTTPError):
        sdk.show_instances_v1({"select_filters": {"dph_total": {"lt": 1}}})
    assert market.call("GET", "/api/v0/instances/")[0] == 410
    assert sdk.destroy_instances(boxes[:3])["success"]
    assert len(sdk.show_instances()) == 24


def test_stop_start_label_reboot_and_recycle(market: Simulator, sdk: Any) -> None:
    box = rent(market, sdk)
    wait_until(lambda: sdk.show_instance(box)["actual_status"] == "running")
    assert sdk.stop_instance(box)["success"]
    row = sdk.show_instance(box)
    assert (row["intended_status"], row["cur_state"], row["ports"]) == ("stopped", "stopped", None)
    assert sdk.start_instance(box)["success"]
    wait_until(lambda: sdk.show_instance(box)["actual_status"] == "running")
    assert sdk.label_instance(box, "other")["success"]
    assert sdk.show_instance(box)["label"] == "other"
    for act in (sdk.reboot_instance, sdk.recycle_instance):
        assert act(box)["success"]
        wait_until(lambda: sdk.show_instance(box)["actual_status"] == "running")


def test_keys_of_account_and_instance(market: Simulator, sdk: Any) -> None:
    made = sdk.create_ssh_key(market.public_key)["key"]
    assert [one["public_key"] for one in sdk.show_ssh_keys()] == [market.public_key]
    box = rent(market, sdk)
    keys = json.loads(market.call("GET", f"/api/v0/instances/{box}/ssh/")[1]["ssh_keys"])
    assert [one["public_key"] for one in keys] == [market.public_key]
    assert sdk.detach_ssh(box, keys[0]["id"])["success"]
    assert sdk.attach_ssh(box, market.public_key)["success"]
    assert sdk.update_ssh_key(made["id"], market.public_key)["success"]
    assert sdk.delete_ssh_key(made["id"])["success"]
    assert sdk.show_ssh_keys() == []
    with pytest.raises(requests.HTTPError):
        sdk.create_ssh_key("not a key")


def test_logs_and_commands(market: Simulator, sdk: Any) -> None:
    box = rent(market, sdk, onstart_cmd="echo one; echo two; touch ~/made")
    wait_until(lambda: "two" in sdk.logs(box))
    assert sdk.logs(box, tail=1) == "two\n"
    assert sdk.logs(box, filter="one") == "one\n"
    assert "success" in sdk.logs(box, daemon_logs=True)
    assert "made" in sdk.execute(box, "ls /root")
    sdk.execute(box, "rm made")
    assert "made" not in sdk.execute(box, "ls -a")
    for refused in ("cat /etc/passwd", "ls ../..", "ls " + "x" * 600):
        with pytest.raises(requests.HTTPError):
            sdk.execute(box, refused)


def test_user_charges_and_invoices(market: Simulator, sdk: Any) -> None:
    box = rent(market, sdk, label="lab")
    wait_until(lambda: sdk.show_instance(box)["actual_status"] == "running")
    assert 0 < sdk.show_user()["credit"] <= 25
    now = int(time.time())
    answer = sdk.show_invoices_v1(charges=True, start_date=now - 60, end_date=now + 60, limit=100)
    charge = next(one for one in answer["results"] if one["source"] == f"instance-{box}")
    assert charge["metadata"]["label"] == "lab"
    assert {one["type"] for one in charge["items"]} >= {"gpu", "disk"}
    assert charge["amount"] == pytest.approx(sum(one["amount"] for one in charge["items"]))
    assert sdk.show_invoices_v1()["results"] == []


def test_a_wrong_key_is_a_404_that_says_auth_error(market: Simulator) -> None:
    assert market.call("GET", "/api/v0/users/current", key="wrong") == (
        404,
        {"success": False, "error": "auth_error", "msg": "Invalid user key"},
    )
    assert market.call("GET", "/api/v0/users/current", key="")[0] == 403


def test_calls_that_come_too_soon_are_refused_until_the_limit_has_passed(tmp_path: Path) -> None:
    with Simulator(tmp_path, pacing=True, speed=10) as market:
        sdk = market.sdk()
        assert sdk.show_instance(1) is None
        with pytest.raises(requests.HTTPError) as failure:
            sdk.show_instance(1)
        assert failure.value.response.status_code == 429
        assert failure.value.response.text == "API requests too frequent: endpoint threshold=2.0"
        wait_until(lambda: market.call("GET", "/api/v0/instances/1/")[0] == 200, what="paced", every=0.25)
        assert [market.call("POST", "/api/v0/bundles/")[0] for _ in range(11)].count(429) == 1
