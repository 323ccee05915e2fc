"""The watcher as a process: signals, settings, and two of them at a time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lib.jobqueue.store import JobStore
from ops.demo.redis_binary import free_port
from tests.support.redis_server import RedisServer
from tests.support.wait import wait_until
from tests.support.watchers import WatcherProcess, batches, dispatched, enqueue, pending_of, slots, spec


@pytest.fixture
def store(redis_url: str) -> Iterator[JobStore]:
    one = JobStore.connect(redis_url)
    yield one
    one.client.close()


def run_with(**environment: str) -> subprocess.CompletedProcess[str]:
    """Start a watcher that is expected to refuse its settings."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "watcher"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=20,
    )


def page(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_sigterm_gives_the_lock_back_and_the_next_watcher_goes_on_at_once(
    redis_url: str, store: JobStore, tmp_path: Path
) -> None:
    slots(store, 1)
    enqueue(store, [spec(number) for number in range(5)])
    with WatcherProcess(redis_url, tmp_path, WATCHER_BATCH_MAX_JOBS=1, WATCHER_LOCK_TTL_MS=600_000) as first:
        wait_until(lambda: len(dispatched(store)) == 2 and len(pending_of(store, "one/watcher-0")) == 5)
        asked = time.monotonic()
        assert first.end() == 0
        assert time.monotonic() - asked < 2
        assert not store.client.exists(store.keys.watcher_lock)
        assert len(pending_of(store, "one/watcher-0")) == 5
        assert [line["msg"] for line in first.lines()][-2:] == ["lock released", "stopped"]
    slots(store, 5)
    with WatcherProcess(redis_url, tmp_path) as second:
        wait_until(lambda: sorted(dispatched(store)) == [f"topic:beat-{number:03d}" for number in range(5)])
        assert second.end(signal.SIGINT) == 0


def test_sigterm_ends_it_within_two_seconds_though_redis_does_not_answer(
    make_redis: Callable[..., RedisServer], tmp_path: Path
) -> None:
    server = make_redis()
    with WatcherProcess(server.url, tmp_path) as watcher:
        watcher.wait_said("lock taken")
        server.pause()
        try:
            asked = time.monotonic()
            assert watcher.end() == 0
            assert time.monotonic() - asked < 2.5
        finally:
            server.resume()


def test_a_killed_watcher_costs_one_life_of_the_lock(redis_url: str, store: JobStore, tmp_path: Path) -> None:
    ids = enqueue(store, [spec(number) for number in range(5)])
    with WatcherProcess(redis_url, tmp_path, WATCHER_BATCH_MAX_JOBS=1) as first:
        wait_until(lambda: len(dispatched(store)) == 2)
        first.end(signal.SIGKILL)
    assert 0 < store.client.pttl(store.keys.watcher_lock) <= 2_000
    slots(store, 5)
    with WatcherProcess(redis_url, tmp_path):
        wait_until(lambda: sorted(dispatched(store)) == sorted(ids))
        assert len(pending_of(store, "one/watcher-0")) == 5


def test_a_watcher_that_was_stopped_and_continued_changes_nothing(
    redis_url: str, store: JobStore, tmp_path: Path
) -> None:
    waits = {"WATCHER_BATCH_MIN": 10, "WATCHER_BATCH_MAX_WAIT": 600, "WATCHER_LOCK_TTL_MS": 1_000}
    slots(store, 5)
    with (
        WatcherProcess(redis_url, tmp_path, "one", **waits) as first,
        WatcherProcess(redis_url, tmp_path, "two", **{**waits, "WATCHER_BATCH_MIN": 1}) as second,
    ):
        leader, other = wait_until(
            lambda: (first.said("lock taken") and (first, second)) or (second.said("lock taken") and (second, first))
        )
        if leader is second:  # let the one that holds its jobs back lead
            second.send(signal.SIGSTOP)
            first.wait_said("lock taken")
            second.send(signal.SIGCONT)
            second.wait_said("lock lost, nothing more is dispatched")
        del leader, other
        enqueue(store, [spec(number) for number in range(5)])
        wait_until(lambda: len(pending_of(store, "one/watcher-0")) == 5)
        taken = sum(line["msg"] == "lock taken" for line in second.lines())
        first.send(signal.SIGSTOP)
        wait_until(lambda: len(dispatched(store)) == 5)
        assert sum(line["msg"] == "lock taken" for line in second.lines()) == taken + 1
        value = store.client.get(store.keys.watcher_lock)
        assert value.startswith("two/watcher-0 ")
        made = [batch.batch_id for batch in batches(store)]
        first.send(signal.SIGCONT)
        first.wait_said("lock lost, nothing more is dispatched")
        enqueue(store, [spec(number) for number in range(5, 10)])
        wait_until(lambda: len(dispatched(store)) == 10)
        assert [batch.batch_id for batch in batches(store)][: len(made)] == made
        assert store.client.get(store.keys.watcher_lock) == value
        assert len(pending_of(store, "two/watcher-0")) == 10
        assert pending_of(store, "one/watcher-0") == []
        assert not first.said("batch dispatched")
        assert first.end() == 0
        assert store.client.get(store.keys.watcher_lock) == value


def test_the_health_pages_tell_leader_and_standby_apart(redis_url: str, store: JobStore, tmp_path: Path) -> None:
    one, two = free_port(), free_port()
    with WatcherProcess(redis_url, tmp_path, "one", WATCHER_METRICS_PORT=one) as first:
        wait_until(lambda: first.said("lock taken") and page(one, "/readyz")[0] == 200)
        with WatcherProcess(redis_url, tmp_path, "two", WATCHER_METRICS_PORT=two) as second:
            second.wait_said("standby")
            assert page(two, "/healthz")[0] == 200
            status, text = page(two, "/readyz")
            assert (status, "standby: one/watcher-0 holds the lock" in text) == (503, True)
            assert second.end() == 0
        enqueue(store, [spec(1)])
        wait_until(lambda: "jobrunner_jobs_dispatched_total 1.0" in page(one, "/metrics")[1])


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"WATCHER_WINDOW": "many"}, "watcher: WATCHER_WINDOW: Input should be a valid integer"),
        ({"WATCHER_BATCH_MIN": "999"}, "watcher: Value error, WATCHER_BATCH_MIN must not exceed"),
        ({"REDIS_URL": "http://127.0.0.1"}, "watcher: REDIS_URL: "),
        ({"REDIS_URL_FILE": "/nowhere/url"}, "/nowhere/url"),
    ],
)
def test_bad_settings_are_one_line_each_and_exit_code_2(environment: dict[str, str], message: str) -> None:
    answer = run_with(**environment)
    assert answer.returncode == 2
    assert message in answer.stderr
    assert len(answer.stderr.splitlines()) == 1
    assert answer.stdout == ""


def test_a_redis_that_wants_a_password_is_one_line_without_it(make_redis: Callable[..., RedisServer]) -> None:
    server = make_redis(requirepass="let-me-in")
    answer = run_with(REDIS_URL=server.url.replace("let-me-in", "wrong-secret"))
    assert answer.returncode == 2
    assert answer.stderr.startswith("watcher: Redis refuses the login")
    assert "wrong-secret" not in answer.stderr + answer.stdout


def test_a_taken_port_is_one_line_and_exit_code_2(redis_url: str) -> None:
    port = int(redis_url.rsplit(":", 1)[1].split("/")[0])
    answer = run_with(REDIS_URL=redis_url, WATCHER_METRICS_PORT=str(port))
    assert answer.returncode == 2
    assert f"watcher: WATCHER_METRICS_PORT {port}: " in answer.stderr
