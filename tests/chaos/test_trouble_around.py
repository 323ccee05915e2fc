"""Trouble around three working daemons: operators, lost folders, a store that is away, restarts, stray processes.

What is asked each time: nothing is lost or stuck, nothing is spoken again that was finished, nothing stays behind.
"""

from __future__ import annotations

import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.redis_server import RedisServer
from tests.support.s3_server import S3Server
from tests.support.stack import Stack
from tests.support.wait import wait_until

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(180)]

Make = Callable[..., Stack]


@pytest.fixture
def make(tmp_path: Path, make_redis: Callable[..., RedisServer]) -> Iterator[Make]:
    made: list[Stack] = []

    def one(**settings: object) -> Stack:
        made.append(Stack(tmp_path / f"stack-{len(made)}", make_redis(appendfsync="always"), **settings))
        return made[-1]

    yield one
    for stack in made:
        stack.close()


def in_state(stack: Stack, state: str, *ids: str) -> None:
    wait_until(lambda: all(stack.row(one).get("state") == state for one in ids), timeout=20, what=f"{ids} {state}")


def done(stack: Stack, count: int) -> None:
    wait_until(lambda: len(stack.done()) >= count, timeout=30, what=f"{count} done")


def test_jobs_are_cancelled_in_every_state_and_the_line_goes_on(make: Make) -> None:
    stack = make(WATCHER_BATCH_MAX_JOBS=3).up()
    [retrying] = stack.enqueue(["transient x"])
    in_state(stack, "retrying", retrying)
    held = stack.enqueue(["wait go"] * 9)
    in_state(stack, "speaking", held[0])
    wait_until(lambda: stack.row(held[5]).get("state") == "dispatched", what="the next batch is leased")
    for one in (retrying, held[0], held[5], held[8]):
        assert stack.command("cancel", one, "--yes")["outcome"] == "cancelled"
    stack.running["uploader"].send_signal(signal.SIGSTOP)
    stack.allow("go")
    in_state(stack, "uploading", held[1])
    assert stack.command("cancel", held[1], "--yes")["was"] == "uploading"
    stack.running["uploader"].send_signal(signal.SIGCONT)
    stack.wait_settled(held)
    stack.wait_clean()
    assert {key: one["status"] for key, one in stack.failed().items()} == dict.fromkeys(
        (retrying, held[0], held[1], held[5], held[8]), "cancelled"
    )
    assert set(stack.stop().values()) == {0}
    assert stack.processes() == []


@pytest.mark.parametrize("how", [(), ("--hard",)])
def test_a_flush_under_working_daemons_leaves_them_ready_for_new_work(make: Make, how: tuple[str, ...]) -> None:
    stack = make().up()
    ids = stack.enqueue(["ok", "transient x"])
    in_state(stack, "retrying", ids[1])
    stack.enqueue(["wait go"] * 12)
    wait_until(lambda: len(stack.spoken()) == 3, what="one is being spoken")
    stack.command("flush", *how, "--yes")
    wait_until(lambda: stack.processes() == [], what="nobody speaks for what was flushed", timeout=20)
    stack.allow("go")
    more = stack.enqueue(["ok"] * 8)
    stack.wait_settled(more)
    stack.wait_clean()
    assert stack.done() == {*more, *([] if how else ids[:1])}
    assert set(stack.stop().values()) == {0}


def test_a_spool_that_is_lost_with_its_audio_costs_no_job(make: Make) -> None:
    stack = make(WATCHER_SPOOL_LOST_SECONDS=1).up()
    ids = stack.enqueue(["ok"] * 20)
    done(stack, 2)
    stack.kill("uploader")
    wait_until(lambda: any(stack.row(one).get("state") == "uploading" for one in ids), what="audio waits")
    stack.kill("provisioner")
    shutil.rmtree(stack.spool)  # this host died; another takes its place
    stack.client.zrem("pab:workers:alive", *(f"spool/{one}" for one in stack.client.smembers("pab:uploads:spools")))
    stack.start("provisioner")
    stack.start("uploader")
    stack.wait_settled(ids)
    stack.wait_clean()
    assert stack.failed() == {}
    assert set(stack.stop().values()) == {0}


def test_a_work_folder_removed_under_an_executor_is_made_again(make: Make) -> None:
    stack = make().up()
    ids = stack.enqueue(["ok"] * 5 + ["wait go"] * 5)
    wait_until(lambda: len(stack.spoken()) >= 6, timeout=20, what="an executor waits")
    while stack.work.exists():
        shutil.rmtree(stack.work, ignore_errors=True)
    stack.allow("go")
    stack.wait_settled(ids)
    stack.wait_clean()
    assert stack.failed() == {}
    assert set(stack.stop().values()) == {0}
    assert stack.processes() == []


def test_while_the_store_is_away_speech_goes_on_and_nothing_is_spoken_again(make: Make, tmp_path: Path) -> None:
    store = S3Server(tmp_path / "s3").start()
    try:
        stack = make(**store.settings()).up()
        ids = stack.enqueue(["ok"] * 10)
        done(stack, 3)
        store.stop()
        ids += stack.enqueue(["ok"] * 20)
        wait_until(lambda: len(stack.spoken()) == 30, timeout=30, what="all is spoken without a store")
        store.start()
        stack.wait_settled(ids)
        stack.wait_clean()
        assert stack.done() == set(ids)
        assert set(stack.spoken().values()) == {1}
        assert set(stack.stop().values()) == {0}
    finally:
        store.stop()


def test_two_hosts_whose_daemons_are_killed_and_paused_settle_every_job_once(make: Make) -> None:
    chance = random.Random(11)
    stack = make()
    other, spool = stack.folder / "work-b", stack.folder / "spool-b"
    second: dict[str, dict[str, object]] = {
        "watcher-b": {"WORKER_NAME": "b"},
        "provisioner-b": {"WORKER_NAME": "b", "PROVISIONER_WORK_DIR": other, "SPOOL_DIR": spool},
        "uploader-b": {"WORKER_NAME": "b"},
        "uploader-c": {"WORKER_NAME": "c", "SPOOL_DIR": spool},
    }
    stack.up()
    for name, settings in second.items():
        stack.start(name, **settings)
    ids = stack.enqueue(["ok"] * 100)
    paused = ""
    for step in range(16):
        if paused:
            stack.running[paused].send_signal(signal.SIGCONT)
            paused = ""
        victim = chance.choice(list(stack.running))
        if chance.random() < 0.3:
            stack.running[victim].send_signal(signal.SIGSTOP)
            paused = victim
        else:
            stack.kill(victim)
            stack.start(victim, **second.get(victim, {}))
        before, until = len(stack.done()), time.monotonic() + chance.uniform(0.2, 2.0)
        wait_until(
            lambda before=before, until=until: time.monotonic() > until or len(stack.done()) >= before + 8,
            what=f"step {step}",
        )
    if paused:
        stack.running[paused].send_signal(signal.SIGCONT)
    stack.wait_settled(ids, timeout=60)
    stack.wait_clean()
    settled = [
        fields["request_id"] for _, fields in stack.client.xrange("pab:jobs:events") if fields["state"] == "done"
    ]
    assert sorted(settled) == sorted(ids)
    assert set(stack.stop().values()) == {0}
    wait_until(lambda: stack.processes() == [], what="no process left behind")


@pytest.mark.parametrize(("name", "seconds"), [("watcher", 4), ("provisioner", 20), ("uploader", 20)])
def test_a_daemon_that_is_stopped_while_redis_hangs_ends_in_time_and_loses_nothing(
    make: Make, name: str, seconds: float
) -> None:
    stack = make().up()
    ids = stack.enqueue(["ok"] * 30)
    done(stack, 5)
    stack.server.pause()
    assert stack.stop(name, timeout=seconds) == {name: 0}
    stack.server.resume()
    stack.start(name)
    stack.wait_settled(ids)
    stack.wait_clean()
    assert stack.done() == set(ids)
    assert set(stack.stop().values()) == {0}


def test_a_rolling_restart_under_load_speaks_nothing_twice(make: Make) -> None:
    stack = make(WATCHER_BATCH_MAX_JOBS=20).up()
    ids = stack.enqueue(["ok"] * 120)
    for step, name in enumerate(("watcher", "provisioner", "uploader")):
        done(stack, 15 * (step + 1))
        assert stack.stop(name, timeout=8) == {name: 0}
        stack.start(name)
    stack.wait_settled(ids)
    stack.wait_clean()
    assert stack.done() == set(ids)
    assert set(stack.spoken().values()) == {1}
    assert set(stack.stop().values()) == {0}
    assert stack.processes() == []
