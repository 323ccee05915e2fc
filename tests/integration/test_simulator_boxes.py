"""Boxes are real: SSH, homes, keys, onstart, and nothing left of them afterwards."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.simulator import Simulator, own_seconds, processes_with
from tests.support.wait import wait_until

pytestmark = pytest.mark.sshd


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with Simulator(tmp_path_factory.mktemp("market")) as simulator:
        yield simulator


@pytest.fixture
def box(market: Simulator) -> Iterator[int]:
    box = market.rent(
        onstart='echo "$NAME"; cat /etc/ssh/ssh_host_*_key.pub; env >>/etc/environment', env={"NAME": "x"}
    )
    market.ready(box)
    yield box
    if any(one["id"] == box for one in market.state()["boxes"]):
        market.destroy(box)


def port(market: Simulator, box: int) -> int:
    return int(market.row(box)["ports"]["22/tcp"][0]["HostPort"])


def test_commands_run_in_a_home_of_the_boxs_own(market: Simulator, box: int) -> None:
    done = market.ssh(port(market, box), "echo kept >file; pwd; exit 7")
    assert done.returncode == 7
    assert done.stdout.strip().endswith(f"box-{box}/home")
    assert market.ssh(port(market, box), "cat ~/file").stdout == "kept\n"
    other = market.rent()
    assert market.ssh(market.ready(other), "ls").stdout == ""
    market.destroy(other)


def test_files_go_both_ways_over_direct_port_and_proxy(market: Simulator, box: int, tmp_path: Path) -> None:
    (tmp_path / "sent").write_bytes(os.urandom(300_000))
    row, user = market.row(box), market.state()["ssh_user"]
    for number, one in enumerate((port(market, box), int(row["ssh_port"]))):
        copy = ["scp", *market.ssh_options(), "-P", str(one)]
        subprocess.run([*copy, str(tmp_path / "sent"), f"{user}@127.0.0.1:there"], check=True, timeout=20)
        subprocess.run([*copy, f"{user}@127.0.0.1:there", str(tmp_path / f"back-{number}")], check=True, timeout=20)
        assert (tmp_path / f"back-{number}").read_bytes() == (tmp_path / "sent").read_bytes()


def test_onstart_has_the_environment_and_prints_the_host_key_that_ssh_then_sees(market: Simulator, box: int) -> None:
    sdk = market.sdk()
    name, key = wait_until(lambda: lines if len(lines := sdk.logs(box).splitlines()) == 2 else None)
    assert name == "x"
    known = market.folder / "known_hosts"
    known.write_text(f"[127.0.0.1]:{port(market, box)} {key}\n")
    pinned = ("-o", f"UserKnownHostsFile={known}", "-o", "StrictHostKeyChecking=yes", "-o", "GlobalKnownHostsFile=none")
    done = market.ssh(port(market, box), "echo in $NAME", *pinned)
    assert done.stdout == "in x\n", done.stderr


def test_a_key_that_was_not_attached_is_refused(market: Simulator, box: int, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "other")], check=True)
    options = [word if word != str(market.key) else str(tmp_path / "other") for word in market.ssh_options()]
    target = ["-p", str(port(market, box)), f"{market.state()['ssh_user']}@127.0.0.1", "true"]
    done = subprocess.run(["ssh", *options, *target], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 255
    assert "Permission denied" in done.stderr


def test_nvidia_smi_answers_for_the_rented_card(market: Simulator, box: int) -> None:
    row = market.row(box)
    query = "nvidia-smi --query-gpu=name,memory.total --format=csv,noheader,nounits"
    lines = market.ssh(port(market, box), query).stdout.splitlines()
    assert lines == [f"NVIDIA {row['gpu_name']}, {row['gpu_ram']}"] * row["num_gpus"]
    assert len(market.ssh(port(market, box), "nvidia-smi -L").stdout.splitlines()) == row["num_gpus"]


def test_destroying_ends_every_process_however_detached(market: Simulator) -> None:
    mine = own_seconds()
    ours = f"sleep\0{mine // 10}"
    box = market.rent(onstart=f"setsid sleep {mine} & env -i setsid sleep {mine + 1} & disown -a")
    started = (
        f"(setsid nohup sleep {mine + 2} >/dev/null 2>&1 &); env -i sh -c 'setsid sleep {mine + 3} >/dev/null 2>&1 &';"
        " echo ok"
    )
    first = market.ready(box)
    assert market.ssh(first, started).stdout == "ok\n"
    wait_until(lambda: len(processes_with(ours)) == 4)
    with subprocess.Popen(
        ["ssh", *market.ssh_options(), "-p", str(first), f"{market.state()['ssh_user']}@127.0.0.1", f"sleep {mine + 4}"]
    ) as session:
        wait_until(lambda: len(processes_with(ours)) == 5)
        market.destroy(box)
        assert processes_with(ours) == []
        session.wait(10)
    assert processes_with(str(market.state_folder / f"box-{box}")) == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", first), 2)
    assert not list(market.state_folder.glob("box-*"))


def test_the_disk_stays_over_a_stop_and_recycling_empties_it_and_changes_the_host_key(
    market: Simulator, box: int
) -> None:
    def host_key() -> str:
        scan = ["ssh-keyscan", "-p", str(port(market, box)), "-t", "ed25519", "127.0.0.1"]
        return subprocess.run(scan, capture_output=True, text=True, timeout=20, check=True).stdout.split()[-1]

    mine = own_seconds()
    market.ssh(port(market, box), f"echo kept >file; (setsid sleep {mine} >/dev/null 2>&1 &)")
    before = host_key()
    market.call("PUT", f"/api/v0/instances/{box}/", {"state": "stopped"})
    assert processes_with(f"sleep\0{mine}") == []
    market.call("PUT", f"/api/v0/instances/{box}/", {"state": "running"})
    market.ready(box)
    assert market.ssh(port(market, box), "cat file").stdout == "kept\n"
    assert host_key() == before
    market.call("PUT", f"/api/v0/instances/recycle/{box}/")
    market.ready(box)
    assert market.ssh(port(market, box), "ls").stdout == "onstart.sh\n"
    assert host_key() != before


def test_the_boxs_own_key_ends_the_box_and_nothing_else(market: Simulator) -> None:
    other = market.rent()
    _, made = market.call("PUT", f"/api/v0/asks/{market.offer()['id']}/", {"image": "i", "runtype": "ssh_proxy"})
    box, key = made["new_contract"], made["instance_api_key"]
    assert market.call("DELETE", f"/api/v0/instances/{other}/", key=key)[0] == 403
    assert market.call("GET", "/api/v0/users/current", key=key)[0] == 403
    assert market.call("DELETE", f"/api/v0/instances/{box}/", key=key)[0] == 200
    assert market.call("DELETE", f"/api/v0/instances/{box}/", key=key)[0] == 404
    market.destroy(other)


def test_a_dead_mans_switch_in_onstart_ends_its_box(market: Simulator) -> None:
    switch = (
        'curl -sS -X DELETE -H "Authorization: Bearer $CONTAINER_API_KEY" "$API/api/v0/instances/$CONTAINER_ID/"'
        ' || python3 -c \'import os, urllib.request as u; e = os.environ; u.urlopen(u.Request(e["API"] +'
        ' "/api/v0/instances/" + e["CONTAINER_ID"] + "/", method="DELETE",'
        ' headers={"Authorization": "Bearer " + e["CONTAINER_API_KEY"]}))\''
    )
    box = market.rent(onstart=switch, env={"API": market.url})
    wait_until(lambda: market.row(box) is None, what="the box has ended itself")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_when_the_simulator_ends(tmp_path: Path, number: signal.Signals) -> None:
    with Simulator(tmp_path) as market:
        mine = own_seconds()
        ours = f"sleep\0{mine // 10}"
        box = market.rent(onstart=f"env -i setsid sleep {mine} & disown -a")
        first = market.ready(box)
        market.ssh(first, f"(setsid sleep {mine + 1} >/dev/null 2>&1 &)")
        wait_until(lambda: len(processes_with(ours)) == 2)
        market.process.send_signal(number)
        assert market.process.wait(20) == (0 if number is not signal.SIGKILL else -number)
        wait_until(lambda: not processes_with(ours) and not processes_with(str(tmp_path)))
        for one in (first, int(market.url.rpartition(":")[2])):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", one), 2)
        wait_until(lambda: not list(market.state_folder.glob("box-*")), what="the box's files are gone")
        assert (market.state_folder / "ledger.jsonl").exists()
