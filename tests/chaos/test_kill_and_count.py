"""Kill daemons and Redis at random while jobs are spoken, then count: nothing lost, nothing twice, nothing left.

Imports none of the project's code: the real processes, their command line, and what lies in Redis and on disk.
`CHAOS_SEED` repeats a run, `CHAOS_JOBS` changes its length.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.redis_server import RedisServer
from tests.support.wait import wait_until

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
DAEMONS = ("watcher", "provisioner", "uploader")
SEED = int(os.environ.get("CHAOS_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
JOBS = int(os.environ.get("CHAOS_JOBS", "80"))


class Stack:
    """The three daemons against one Redis; each can be killed, and comes back like under a supervisor."""

    def __init__(self, folder: Path, url: str) -> None:
        self.audio = folder / "audio"
        self.spool = folder / "spool"
        self.work = folder / "work"
        self.logs = folder / "logs"
        self.logs.mkdir()
        self.environment = {
            **os.environ,
            "REDIS_URL": url,
            "PROVISIONER_EXECUTOR": "local",
            "PROVISIONER_WORK_DIR": str(self.work),
            "PROVISIONER_BATCH_LEASE_MS": "4000",
            "SPOOL_DIR": str(self.spool),
            "SPOOL_MIN_FREE_MB": "1",
            "UPLOADER_SINK": "disk",
            "UPLOADER_DISK_DIR": str(self.audio),
            "UPLOADER_LEASE_MS": "4000",
            "WATCHER_LEASE_IDLE_MS": "8000",
            "WATCHER_LOCK_TTL_MS": "2000",
            "WATCHER_BATCH_MAX_JOBS": "7",
            **{f"{name.upper()}_METRICS_PORT": "0" for name in DAEMONS},
        }
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        with (self.logs / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                [sys.executable, "-P", "-m", name], cwd=ROOT, env=self.environment, stdout=log, stderr=log
            )

    def keep_alive(self) -> None:
        for name in DAEMONS:
            if name not in self.running or self.running[name].poll() is not None:
                self.start(name)

    def kill(self, name: str) -> None:
        self.running[name].kill()
        self.running[name].wait(timeout=10)

    def stop(self) -> dict[str, int]:
        for process in self.running.values():
            process.send_signal(signal.SIGTERM)
        return {name: process.wait(timeout=60) for name, process in self.running.items()}

    def command(self, *arguments: str) -> dict[str, object]:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "cli", *arguments, "--json"],
            cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def stack(tmp_path: Path, make_redis: Callable[..., RedisServer]) -> Iterator[tuple[Stack, RedisServer]]:
    server = make_redis(appendfsync="always")
    made = Stack(tmp_path, server.url)
    yield made, server
    for process in made.running.values():
        if process.poll() is None:
            process.kill()
            process.wait(timeout=10)
    for process in processes_of(tmp_path):
        process.kill()


def processes_of(folder: Path) -> list[psutil.Process]:
    """Processes that work in this test's folder (the executors a killed provisioner leaves behind)."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(folder) in process.cwd() or any(str(folder) in word for word in process.cmdline()):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return [process for process in found if "redis" not in process.name()]


def beatsheet(path: Path) -> set[str]:
    """Write the jobs as YAML; returns their request ids."""
    rows = [
        {
            "output_name": f"show-{n // 10}/beat-{n % 10:03d}",
            "speaker": "Ryan",
            "language": "French",
            "text": f"Ligne {n}.",
        }
        for n in range(JOBS)
    ]
    path.write_text(json.dumps({"jobs": rows}), encoding="utf-8")
    return {str(row["output_name"]).replace("/", ":") for row in rows}


def test_no_job_is_lost_or_done_twice_while_daemons_and_redis_are_killed(
    stack: tuple[Stack, RedisServer], tmp_path: Path
) -> None:
    line, server = stack
    chance = random.Random(SEED)
    print(f"CHAOS_SEED={SEED} CHAOS_JOBS={JOBS}")
    expected = beatsheet(tmp_path / "jobs.yaml")
    line.keep_alive()
    line.command("enqueue", str(tmp_path / "jobs.yaml"))

    def settled() -> int:
        with server.client() as client:
            return int(client.hlen("pab:jobs:result") + client.hlen("pab:jobs:failed"))

    kills = dict.fromkeys((*DAEMONS, "redis"), 0)
    while settled() < JOBS and sum(kills.values()) < JOBS:
        victim = chance.choices([*DAEMONS, "redis"], [3, 4, 3, 1])[0]
        kills[victim] += 1
        if victim == "redis":
            server.kill()
            server.start()
        else:
            line.kill(victim)
        line.keep_alive()
        before = settled()
        pause = chance.uniform(0.5, 2.5)
        # Progress, or a pause: a run of kills without either would starve the line rather than test it.
        wait_until(_after(pause, lambda before=before: settled() > before), timeout=30)

    def alive_and_done() -> bool:
        line.keep_alive()
        return settled() >= JOBS

    wait_until(alive_and_done, timeout=180, every=0.2, what="every job settled")
    print(f"kills: {kills}")
    assert line.stop() == dict.fromkeys(DAEMONS, 0)

    with server.client() as client:
        done, failed = set(client.hkeys("pab:jobs:result")), set(client.hkeys("pab:jobs:failed"))
        assert failed == set()
        assert done == expected
        assert (
            client.xlen("pab:jobs:stream")
            == client.xlen("pab:batches:stream")
            == client.zcard("pab:jobs:retry:zset")
            == 0
        )
        assert all(client.xlen(key) == 0 for key in client.scan_iter("pab:uploads:*", _type="stream"))
        counters = {name: int(value) for name, value in client.hgetall("pab:jobs:counters").items()}
        assert {name: value for name, value in counters.items() if value} == {"done": JOBS}
        settlements = [
            fields["request_id"] for _, fields in client.xrange("pab:jobs:events") if fields["state"] == "done"
        ]
        assert sorted(settlements) == sorted(expected)
        records = [json.loads(text) for text in client.hvals("pab:jobs:result")]
    for record in records:
        for take in record["outputs"]["takes"]:
            assert Path(take).stat().st_size > 1000
    topics = [json.loads(path.read_text()) for path in line.audio.glob("*/job.json")]
    assert sum(topic["done"] for topic in topics) == JOBS
    assert list(line.spool.rglob("*.wav")) == []
    wait_until(lambda: processes_of(tmp_path) == [], timeout=15, what="no process left behind")


def _after(seconds: float, early: Callable[[], bool]) -> Callable[[], bool]:
    """True after `seconds`, or sooner when `early` is."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() >= end or early()
