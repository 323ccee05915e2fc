"""Each fault of boxes, alone, as a client meets it."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from ops.simulator.tools import find_tools
from tests.support.simulator import Simulator, own_seconds, processes_with
from tests.support.wait import wait_until

pytestmark = pytest.mark.sshd

SPEED = 20


@pytest.fixture(scope="module")
def _market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with Simulator(tmp_path_factory.mktemp("market"), speed=SPEED) as simulator:
        yield simulator


@pytest.fixture
def market(_market: Simulator) -> Iterator[Simulator]:
    yield _market
    _market.no_faults()
    for box in _market.state()["boxes"]:
        _market.destroy(box["id"])


def status_is(market: Simulator, box: int, status: str | None) -> dict[str, Any]:
    return wait_until(lambda: row if (row := market.row(box))["actual_status"] == status else None, what=str(status))


def runs(market: Simulator, port: int) -> bool:
    return market.ssh(port, "echo ok", "-o", "ConnectTimeout=2").stdout == "ok\n"


def host_key(port: int) -> str:
    scan = ["ssh-keyscan", "-T", "3", "-p", str(port), "-t", "ed25519", "127.0.0.1"]
    return subprocess.run(scan, capture_output=True, text=True, timeout=20, check=True).stdout.split()[-1]


def seconds(market: Simulator, box: int, kind: str) -> float:
    return float(market.box(box)["bill"]["seconds"].get(kind, 0.0))


def test_stuck_null(market: Simulator) -> None:
    market.fault("stuck_null", occasions=[1])
    stuck, healthy = market.rent(), market.rent()
    status_is(market, healthy, "running")
    assert market.row(stuck)["actual_status"] is None
    assert seconds(market, stuck, "storage") > 0
    assert seconds(market, stuck, "gpu") == 0


def test_stuck_loading(market: Simulator) -> None:
    market.fault("stuck_loading", occasions=[1])
    stuck, healthy = market.rent(), market.rent()
    status_is(market, healthy, "running")
    assert "Pulling fs layer" in status_is(market, stuck, "loading")["status_msg"]
    assert seconds(market, stuck, "gpu") == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("pull_denied", "pull access denied"), ("manifest_unknown", "manifest unknown"),
        ("no_space", "no space left on device"), ("unexpected_eof", "unexpected EOF"),
    ],
)  # fmt: skip
def test_image_error(market: Simulator, text: str, words: str) -> None:
    market.fault("image_error", text=text)
    box = market.rent()
    wait_until(lambda: words in (market.row(box)["status_msg"] or ""))
    assert market.row(box)["actual_status"] == "loading"


def test_oci_failed(market: Simulator) -> None:
    market.fault("oci_failed")
    assert "OCI runtime create failed" in status_is(market, market.rent(), "created")["status_msg"]


def test_exited(market: Simulator) -> None:
    market.fault("exited", after_seconds=0)
    box = market.rent()
    assert status_is(market, box, "exited")["intended_status"] == "running"


@pytest.mark.parametrize("status", ["offline", "unknown"])
def test_offline_and_back(market: Simulator, status: str) -> None:
    box = market.rent()
    port = market.ready(box)
    market.cause(box, "offline", status=status, for_seconds=40)
    assert status_is(market, box, status)["intended_status"] == "running"
    assert not runs(market, port)
    gpu = seconds(market, box, "gpu")
    status_is(market, box, "running")
    assert runs(market, port)
    assert seconds(market, box, "gpu") < gpu + 3


def test_flicker(market: Simulator) -> None:
    box = market.rent()
    port = market.ready(box)
    market.cause(box, "flicker", for_seconds=20)
    status_is(market, box, "loading")
    assert runs(market, port)
    status_is(market, box, "running")


@pytest.mark.parametrize("intended", ["stopped", "running"])
def test_outbid_until_the_bid_is_raised(market: Simulator, intended: str) -> None:
    box = market.rent(price=1.0)
    market.ready(box)
    market.cause(box, "outbid", intended=intended)
    row = status_is(market, box, "exited")
    assert (row["cur_state"], row["intended_status"]) == ("stopped", intended)
    assert row["min_bid"] > row["dph_base"]
    assert market.call("PUT", f"/api/v0/instances/{box}/", {"state": "running"})[1]["success"] is False
    market.call("PUT", f"/api/v0/instances/bid_price/{box}/", {"price": row["min_bid"] + 0.1})
    status_is(market, box, "running")


def test_outbid_for_a_while(market: Simulator) -> None:
    market.fault("outbid", after_seconds=2, for_seconds=4)
    box = market.rent(price=1.0)
    status_is(market, box, "exited")
    status_is(market, box, "running")


def test_box_lost(market: Simulator) -> None:
    box = market.rent()
    port = market.ready(box)
    mine = own_seconds()
    market.ssh(port, f"(setsid sleep {mine} >/dev/null 2>&1 &)")
    market.cause(box, "box_lost")
    status_is(market, box, "offline")
    wait_until(lambda: processes_with(f"sleep\0{mine}") == [])
    assert not runs(market, port)
    before = market.box(box)["bill"]["amount"]
    assert market.state()["money"]["dollars_an_hour"] == 0
    assert market.box(box)["bill"]["amount"] == before
    market.destroy(box)


def test_reclaimed(market: Simulator) -> None:
    box = market.rent()
    market.ready(box)
    market.cause(box, "reclaimed")
    assert status_is(market, box, "exited")["intended_status"] == "running"
    answer = market.call("PUT", f"/api/v0/instances/{box}/", {"state": "running"})[1]
    assert answer["error"] == "resources_unavailable"
    storage = seconds(market, box, "storage")
    wait_until(lambda: seconds(market, box, "storage") > storage)


def test_start_refused(market: Simulator) -> None:
    market.fault("start_refused")
    box = market.rent()
    market.ready(box)
    market.call("PUT", f"/api/v0/instances/{box}/", {"state": "stopped"})
    assert market.call("PUT", f"/api/v0/instances/{box}/", {"state": "running"}) == (
        200,
        {
            "success": False,
            "error": "resources_unavailable",
            "msg": "Required resources are currently unavailable, state change queued.",
        },
    )


def test_short_contract(market: Simulator) -> None:
    market.fault("short_contract", seconds=10, deleted_after_seconds=20)
    box = market.rent()
    assert status_is(market, box, "exited")["intended_status"] == "stopped"
    wait_until(lambda: market.row(box) is None)
    assert market.state()["machines"]["rented"] == 0


def test_invisible(market: Simulator) -> None:
    market.fault("invisible", seconds=20)
    box = market.rent()
    assert market.row(box) is None
    assert market.call("GET", "/api/v1/instances/")[1]["instances"] == []
    wait_until(lambda: market.row(box))
    assert market.call("GET", "/api/v1/instances/")[1]["instances"][0]["id"] == box


def test_no_ports(market: Simulator) -> None:
    market.fault("no_ports")
    box = market.rent()
    market.ready(box)
    row = market.row(box)
    assert (row["actual_status"], row["ports"]) == ("running", {})
    assert runs(market, row["ssh_port"])


def test_ports_late(market: Simulator) -> None:
    market.fault("ports_late", seconds=10)
    box = market.rent()
    market.ready(box)
    assert market.row(box)["ports"] == {}
    wait_until(lambda: market.row(box)["ports"])


def test_ports_change(market: Simulator) -> None:
    market.fault("ports_change")
    box = market.rent()
    before = market.ready(box)
    market.call("PUT", f"/api/v0/instances/{box}/", {"state": "stopped"})
    market.call("PUT", f"/api/v0/instances/{box}/", {"state": "running"})
    after = market.ready(box)
    assert after != before
    assert runs(market, after)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", before), 2)


def test_direct_refused(market: Simulator) -> None:
    market.fault("direct_refused")
    box = market.rent()
    port = market.ready(box)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 2)
    assert runs(market, market.row(box)["ssh_port"])


def test_direct_black_hole(market: Simulator) -> None:
    market.fault("direct_black_hole")
    box = market.rent()
    port = market.ready(box)
    with pytest.raises(TimeoutError):
        socket.create_connection(("127.0.0.1", port), 1)
    assert runs(market, market.row(box)["ssh_port"])


def test_direct_silent(market: Simulator) -> None:
    market.fault("direct_silent")
    box = market.rent()
    port = market.ready(box)
    with socket.create_connection(("127.0.0.1", port), 1) as connection, pytest.raises(TimeoutError):
        connection.recv(1)


def test_proxy_refuses(market: Simulator) -> None:
    market.fault("proxy_refuses")
    box = market.rent()
    port = market.ready(box)
    with socket.create_connection(("127.0.0.1", market.row(box)["ssh_port"]), 1) as connection:
        assert connection.recv(1) == b""
    assert runs(market, port)


def test_sshd_late(market: Simulator) -> None:
    market.fault("sshd_late", seconds=20)
    box = market.rent()
    status_is(market, box, "running")
    port = market.box(box)["direct_port"]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 2)
    assert runs(market, market.ready(box))


def test_key_late(market: Simulator) -> None:
    market.fault("key_late", seconds=40)
    box = market.rent()
    market.call("POST", f"/api/v0/instances/{box}/ssh/", {"ssh_key": market.public_key})
    wait_until(lambda: market.box(box)["sshd_up"])
    early = market.ssh(market.box(box)["direct_port"], "true")
    assert "Permission denied" in early.stderr
    assert runs(market, market.ready(box))


def test_key_vanishes(market: Simulator) -> None:
    box = market.rent(onstart=f"echo '{market.public_key}' >~/.ssh/authorized_keys")
    port = market.ready(box)
    assert runs(market, port)
    market.cause(box, "key_vanishes")
    wait_until(lambda: not runs(market, port))
    market.call("POST", f"/api/v0/instances/{box}/ssh/", {"ssh_key": market.public_key})
    wait_until(lambda: runs(market, port))


def test_wrong_host_key(market: Simulator) -> None:
    market.fault("wrong_host_key")
    box = market.rent()
    port = market.ready(box)
    real = market.ssh(port, "cat /etc/ssh/ssh_host_ed25519_key.pub").stdout.split()[1]
    assert host_key(port) != real


def test_host_key_changes(market: Simulator) -> None:
    box = market.rent()
    port = market.ready(box)
    before = host_key(port)
    assert host_key(port) == before
    market.cause(box, "host_key_changes")
    wait_until(lambda: host_key(port) != before)


def test_slow_link(market: Simulator) -> None:
    box = market.rent()
    port = market.ready(box)
    market.cause(box, "slow_link", bytes_per_second=20_000)
    with pytest.raises(subprocess.TimeoutExpired):
        market.ssh(port, "head -c 200000 /dev/urandom | base64", timeout=2)
    market.call("DELETE", f"/simulator/boxes/{box}/faults")
    assert len(market.ssh(port, "head -c 200000 /dev/urandom | base64").stdout) > 200_000


def test_link_cut(market: Simulator) -> None:
    market.fault("link_cut", after_bytes=100_000)
    box = market.rent()
    port = market.ready(box)
    cut = market.ssh(port, "head -c 500000 /dev/urandom | base64")
    assert cut.returncode == 255
    assert len(cut.stdout) < 110_000
    assert runs(market, port)


def test_link_cut_once_leaves_a_detached_command_running(market: Simulator) -> None:
    box = market.rent()
    port = market.ready(box)
    target = ["-p", str(port), f"{market.state()['ssh_user']}@127.0.0.1"]
    mine = own_seconds()
    command = f"(setsid sleep {mine} >/dev/null 2>&1 &); exec sleep {mine + 1}"
    with subprocess.Popen(["ssh", *market.ssh_options(), *target, command], stderr=subprocess.DEVNULL) as session:
        wait_until(lambda: processes_with(f"sleep\0{mine + 1}"))
        market.cause(box, "link_cut_once")
        assert session.wait(10) == 255
    assert processes_with(f"sleep\0{mine}")
    assert runs(market, port)


def test_small_disk(market: Simulator) -> None:
    market.fault("small_disk", fraction=0.25)
    assert market.row(market.rent(disk=40))["disk_space"] == 10


def test_full_disk_or_a_clear_refusal_where_no_disk_can_be_mounted(market: Simulator) -> None:
    if not find_tools().own_mounts:
        status, answer = market.call("POST", "/simulator/faults", {"fault": "full_disk"})
        assert status == 400
        assert "mount" in answer["msg"]
        return
    market.fault("full_disk", free_bytes=1_000_000)
    box = market.rent(onstart="touch ~/started")
    port = market.ready(box)
    done = market.ssh(port, "head -c 3000000 /dev/zero >big")
    assert "No space left on device" in done.stderr
    assert "started" in market.ssh(port, "ls").stdout


def test_wrong_gpu(market: Simulator) -> None:
    market.fault("wrong_gpu", name="GTX 1050", ram_mb=4096)
    box = market.rent()
    assert "GTX 1050" in market.ssh(market.ready(box), "nvidia-smi -L").stdout
    assert market.row(box)["gpu_name"] == "GTX 1050"


def test_broken_gpu(market: Simulator) -> None:
    market.fault("broken_gpu")
    done = market.ssh(market.ready(market.rent()), "nvidia-smi -L")
    assert done.returncode == 15
    assert "GPU is lost" in done.stdout


def test_without_credit_every_box_is_stopped(market: Simulator) -> None:
    box = market.rent()
    market.ready(box)
    market.call("PUT", "/simulator/credit", {"credit": -0.01})
    status_is(market, box, "exited")
    ask = market.offer()["id"]
    answer = market.call("PUT", f"/api/v0/asks/{ask}/", {"image": "i", "runtype": "ssh_proxy"})[1]
    assert answer["error"] == "insufficient_credit"
    market.call("PUT", "/simulator/credit", {"credit": 25})


def test_a_fault_that_fits_no_box_is_refused(market: Simulator) -> None:
    box = market.rent()
    market.ready(box)
    for fault, words in (("outbid", "not interruptible"), ("stuck_null", "add it as a rule")):
        status, answer = market.call("POST", f"/simulator/boxes/{box}/faults", {"fault": fault})
        assert status == 400
        assert words in answer["msg"]
