"""Each fault of calls and of create, alone, as the unmodified SDK meets it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.support.simulator import Simulator

pytestmark = pytest.mark.sshd


@pytest.fixture(scope="module")
def _market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with Simulator(tmp_path_factory.mktemp("market"), speed=20) as simulator:
        yield simulator


@pytest.fixture
def market(_market: Simulator) -> Iterator[Simulator]:
    yield _market
    _market.no_faults()
    for box in _market.state()["boxes"]:
        _market.destroy(box["id"])


def create(market: Simulator, retry: int = 1) -> Any:
    return market.sdk(retry).create_instance(market.offer()["id"], image="i", ssh=True, cancel_unavail=True)


def refusal(market: Simulator) -> requests.Response:
    with pytest.raises(requests.HTTPError) as failure:
        create(market)
    response = failure.value.response
    assert response is not None
    return response


@pytest.mark.parametrize(
    ("form", "body"),
    [("text", "API requests too frequent"), ("json", "rate_limit_exceeded"), ("detail", "detail"), ("quota", "quota")],
)
def test_throttled(market: Simulator, form: str, body: str) -> None:
    market.fault("throttled", form=form, retry_after=61, endpoint="create")
    response = refusal(market)
    assert response.status_code == 429
    assert body in response.text
    assert response.headers["Retry-After"] == "61"
    assert market.state()["boxes"] == []
    assert market.sdk().show_instances() == []


def test_throttled_for_a_while_is_waited_out_by_the_sdk(market: Simulator) -> None:
    market.fault("throttled", retry_after=0.1, endpoint="create", times=2)
    assert create(market, retry=3)["success"]


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_server_error(market: Simulator, status: int) -> None:
    market.fault("server_error", status=status, endpoint="create")
    assert refusal(market).status_code == status
    assert market.state()["boxes"] == []


@pytest.mark.parametrize("how", ["drop", "silence"])
def test_reply_lost_leaves_a_box_that_the_client_does_not_know_of(market: Simulator, how: str) -> None:
    market.fault("reply_lost", how=how, hold=2, endpoint="create")
    with pytest.raises(requests.ConnectionError):
        create(market)
    assert len(market.state()["boxes"]) == 1


def test_reply_lost_as_a_502_rents_twice_through_the_sdks_own_retry(market: Simulator) -> None:
    market.fault("reply_lost", how="502", endpoint="create", occasions=[1])
    with pytest.raises(requests.HTTPError) as failure:
        create(market, retry=2)
    assert "no_such_ask" in failure.value.response.text
    assert len(market.state()["boxes"]) == 1


def test_reply_lost_of_a_destroy_is_a_404_at_the_second_try(market: Simulator) -> None:
    box = market.rent()
    market.fault("reply_lost", endpoint="destroy", occasions=[1])
    with pytest.raises(requests.HTTPError) as failure:
        market.sdk(retry=2).destroy_instance(box)
    assert failure.value.response.json()["error"] == "no_such_instance"
    assert market.state()["boxes"] == []


def test_not_json(market: Simulator) -> None:
    market.fault("not_json", endpoint="user")
    with pytest.raises(requests.exceptions.JSONDecodeError):
        market.sdk().show_user()


def test_gone_as_list(market: Simulator) -> None:
    market.fault("gone_as_list")
    assert market.call("GET", "/api/v0/instances/1/") == (200, {"instances": []})
    with pytest.raises(TypeError):
        market.sdk().show_instance(1)


def test_slow(market: Simulator) -> None:
    market.fault("slow", seconds=8, endpoint="user")
    before = time.monotonic()
    market.sdk().show_user()
    assert time.monotonic() - before >= 0.4


@pytest.mark.parametrize(("status", "error"), [(404, "invalid_args"), (410, "no_such_ask"), (400, "no_such_ask")])
def test_ask_gone(market: Simulator, status: int, error: str) -> None:
    market.fault("ask_gone", status=status)
    response = refusal(market)
    assert (response.status_code, response.json()["error"]) == (status, error)
    assert "no_such_ask" in response.text
    assert market.state()["boxes"] == []


def test_create_refused(market: Simulator) -> None:
    market.fault("create_refused")
    answer = create(market)
    assert answer["success"] is False
    assert "new_contract" not in answer
    assert market.state()["boxes"] == []


def test_create_error_with_contract(market: Simulator) -> None:
    market.fault("create_error_with_contract")
    box = refusal(market).json()["new_contract"]
    assert market.row(box)["cur_state"] == "stopped"
    assert set(market.box(box)["bill"]["seconds"]) == {"storage"}


@pytest.mark.parametrize("fault", ["insufficient_credit", "spend_rate_limit"])
def test_insufficient_credit_and_spend_rate_limit(market: Simulator, fault: str) -> None:
    market.fault(fault)
    assert refusal(market).json()["error"] == fault
    assert market.state()["boxes"] == []


def test_a_rule_strikes_only_at_its_occasions_and_is_counted(market: Simulator) -> None:
    market.fault("server_error", endpoint="user", occasions=[2, 4])
    assert [market.call("GET", "/api/v0/users/current")[0] for _ in range(5)] == [200, 500, 200, 500, 200]
    rule = market.state()["faults"]["rules"][0]
    assert (rule["seen"], rule["struck"]) == (5, 2)


def test_the_same_seed_has_the_same_faults(market: Simulator, tmp_path_factory: pytest.TempPathFactory) -> None:
    def answers(seed: int) -> list[int]:
        rule = {"fault": "server_error", "endpoint": "user", "probability": 0.5}
        with Simulator(tmp_path_factory.mktemp("seeded"), seed=seed, faults=[rule]) as seeded:
            return [seeded.call("GET", "/api/v0/users/current")[0] for _ in range(30)]

    first = answers(7)
    assert set(first) == {200, 500}
    assert answers(7) == first
    assert answers(8) != first


def test_a_rule_that_makes_no_sense_is_refused_with_what_is_possible(market: Simulator) -> None:
    for body, words in (
        ({"fault": "nonsense"}, "box_lost"),
        ({"fault": "box_lost", "afterseconds": 3}, "after_seconds"),
        ({"fault": "ask_gone", "status": 418}, "410"),
        ({"fault": "box_lost", "probability": 2}, "from 0 to 1"),
        ({"fault": "slow", "endpoint": "nowhere"}, "search"),
    ):
        status, answer = market.call("POST", "/simulator/faults", body)
        assert status == 400
        assert words in answer["msg"]
    assert market.state()["faults"]["rules"] == []


def test_changes_from_another_sites_page_are_refused(market: Simulator) -> None:
    answer = requests.post(f"{market.url}/simulator/faults", data='{"fault": "slow"}', timeout=10)
    assert answer.status_code == 415
