"""Supervision by the shipped configuration files, over stand-in programs under the names of the real ones."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.wait import wait_until

STEADY = """
import json, os, signal, sys
print(json.dumps({"process": NAME, "pid": os.getpid(), "cwd": os.getcwd(), "msg": "up"}), flush=True)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
while True:
    signal.pause()
"""
BROKEN = "import sys; sys.exit('no such bucket')"


class Supervised:
    """`python -m ops.supervisor` over stand-ins, its output in a file."""

    def __init__(self, folder: Path, programs: dict[str, str], stdout: Any = None) -> None:
        self.folder = folder
        self.output = folder / "output.jsonl"
        for name, code in programs.items():
            (folder / f"{name}.py").write_text(f"NAME = {name!r}\n{code}")
        environment = {
            **os.environ,
            "PYTHONPATH": str(folder),
            "SUPERVISOR_PROGRAMS": " ".join(programs),
            "SUPERVISOR_RUN_DIR": str(folder / "run dir"),
            "SUPERVISOR_START_RETRIES": "1",
        }
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "ops.supervisor"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=stdout or output,
                stderr=subprocess.PIPE,
                text=True,
            )

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.output.read_text().rpartition("\n")[0].splitlines()]

    def pids(self, name: str) -> list[int]:
        return [line["pid"] for line in self.lines() if line.get("process") == name]

    def wait_up(self, *names: str) -> None:
        wait_until(lambda: all(self.pids(name) for name in names), what=f"{names} are up")

    def end(self) -> tuple[int, str]:
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> tuple[int, str]:
        _, errors = self.process.communicate(timeout=30)
        return self.process.returncode, errors


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Any]:
    started: list[Supervised] = []

    def start(programs: dict[str, str], stdout: Any = None) -> Supervised:
        started.append(Supervised(tmp_path, programs, stdout))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.end()
        assert one.process.stderr is not None
        one.process.stderr.close()


def test_all_programs_run_log_json_only_and_end_with_the_supervisor(supervised: Any) -> None:
    running = supervised({"watcher": STEADY, "provisioner": STEADY, "uploader": STEADY})
    running.wait_up("watcher", "provisioner", "uploader")
    pids = [line["pid"] for line in running.lines()]
    assert {line["cwd"] for line in running.lines()} == {str(Path(__file__).resolve().parents[2])}
    assert running.end() == (0, "")
    assert [pid for pid in pids if psutil.pid_exists(pid)] == []


def test_a_killed_program_is_started_again_and_its_death_is_in_the_log(supervised: Any) -> None:
    running = supervised({"watcher": STEADY})
    running.wait_up("watcher")
    (first,) = running.pids("watcher")
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: len(running.pids("watcher")) == 2, what="a second watcher")
    (death,) = [line for line in running.lines() if line["process"] == "supervisor"]
    assert (death["level"], death["program"]) == ("error", "watcher")
    assert running.end()[0] == 0


def test_a_program_that_cannot_be_kept_alive_takes_all_down_with_exit_code_1(supervised: Any) -> None:
    running = supervised({"watcher": STEADY, "uploader": BROKEN})
    code, errors = running.wait()
    assert code == 1
    assert "supervisor: uploader could not be kept alive; all programs were stopped" in errors
    assert "no such bucket" in errors
    assert [line["program"] for line in running.lines() if line.get("level") == "critical"] == ["uploader"]
    assert not any(psutil.pid_exists(pid) for pid in running.pids("watcher"))


def test_logs_arrive_where_standard_output_is_a_socket(supervised: Any) -> None:
    ours, theirs = socket.socketpair()
    with ours, ours.makefile() as reader:
        with theirs:
            running = supervised({"uploader": STEADY}, stdout=theirs)
        assert json.loads(reader.readline())["process"] == "uploader"
        assert running.end()[0] == 0


def test_nothing_outlives_a_supervisor_that_is_killed(supervised: Any) -> None:
    running = supervised({"watcher": STEADY})
    running.wait_up("watcher")
    (pid,) = running.pids("watcher")
    running.process.kill()
    wait_until(lambda: not psutil.pid_exists(pid), what="the watcher is gone")


def test_an_unknown_program_is_refused_by_name(supervised: Any) -> None:
    running = supervised({"wacher": STEADY})
    code, errors = running.wait()
    assert code == 1
    assert errors == ("supervisor: SUPERVISOR_PROGRAMS names wacher; there are provisioner, redis, uploader, watcher\n")


def test_asked_for_help_it_starts_nothing() -> None:
    command = [sys.executable, "-P", "-m", "ops.supervisor", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout.startswith("usage: supervisor")
    assert done.stderr == ""
