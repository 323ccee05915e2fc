"""Every Redis command where Redis cannot be used: one clean message, exit code 3, no traceback, nothing changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ops.demo.redis_binary import free_port
from tests.support.command import Ran, job_runner, job_runner_inside
from tests.support.queue_line import Line
from tests.support.redis_server import RedisServer
from tests.support.snapshot import unchanged

LOOKING = ("status", "history", "result", "report")
COMMANDS = (*LOOKING, "enqueue", "enqueue-beatsheet", "retry", "cancel", "flush")


@pytest.fixture
def command_lines(tmp_path: Path) -> dict[str, list[str]]:
    jobs, sheet = tmp_path / "jobs.yaml", tmp_path / "sheet.json"
    jobs.write_text("{output_name: a, voice: newsroom, text: Hi}", encoding="utf-8")
    sheet.write_text('{"topicId": "t", "beats": [{"id": 1, "narration": "Hi"}]}', encoding="utf-8")
    return {
        "status": ["status"],
        "history": ["history"],
        "result": ["result", "a"],
        "report": ["report", str(jobs)],
        "enqueue": ["enqueue", str(jobs)],
        "enqueue-beatsheet": ["enqueue-beatsheet", str(sheet), "--voice", "newsroom"],
        "retry": ["retry", "a", "--yes"],
        "cancel": ["cancel", "a", "--yes"],
        "flush": ["flush", "--yes"],
    }


def unusable(ran: Ran, *, kind: str, told: str) -> None:
    """Assert that `ran`, with --json, says that Redis cannot be used, and nothing else."""
    assert ran.code == 3, ran
    error = ran.json["error"]
    assert error["type"] == kind
    assert told in error["message"]
    assert "\n" not in error["message"]
    assert error["hint"]
    assert ran.err == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_redis_is_down(command: str, command_lines: dict[str, list[str]]) -> None:
    url = f"redis://127.0.0.1:{free_port()}/0"
    unusable(
        job_runner_inside(*command_lines[command], "--redis-url", url, "--json"),
        kind="queue_unavailable",
        told="cannot be reached",
    )


def test_for_people_it_is_two_lines_on_standard_error() -> None:
    ran = job_runner("status", "--redis-url", f"redis://127.0.0.1:{free_port()}/0")
    assert (ran.code, ran.out) == (3, "")
    first, second = ran.err.splitlines()
    assert first.startswith("error: Redis cannot be reached: ")
    assert "--redis-url" in second


@pytest.mark.parametrize("command", COMMANDS)
def test_redis_asks_for_a_password(
    command: str, command_lines: dict[str, list[str]], locked_redis: RedisServer
) -> None:
    for userinfo in ("", ":wrong@"):
        url = f"redis://{userinfo}127.0.0.1:{locked_redis.port}/0"
        ran = job_runner_inside(*command_lines[command], "--redis-url", url, "--json")
        unusable(ran, kind="queue_refused", told="refuses")
        assert "wrong@" not in ran.out
    ok = job_runner_inside("status", "--redis-url", locked_redis.url)
    assert ok.code == 0


@pytest.fixture
def locked_redis(make_redis: Callable[..., RedisServer]) -> RedisServer:
    return make_redis(requirepass="let-me-in")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_user_may_do_nothing_here(command: str, command_lines: dict[str, list[str]], line: Line) -> None:
    line.client.execute_command("ACL", "SETUSER", "guest", "on", ">secret", "~*", "+ping", "+time", "+client")
    url = f"redis://guest:secret@127.0.0.1:{line.client.connection_pool.connection_kwargs['port']}/0"
    try:
        ran = job_runner_inside(*command_lines[command], "--redis-url", url, "--json")
    finally:
        line.client.execute_command("ACL", "DELUSER", "guest")
    unusable(ran, kind="queue_refused", told="permission")


@pytest.mark.both_redis
def test_a_redis_that_does_not_answer_is_given_up_after_the_time_of_the_setting(
    make_redis: Callable[..., RedisServer], command_lines: dict[str, list[str]]
) -> None:
    server = make_redis()
    server.pause()
    for command in ("status", "enqueue", "flush"):
        ran = job_runner_inside(
            *command_lines[command], "--redis-url", server.url, "--json", env={"REDIS_TIMEOUT_SECONDS": "0.1"}
        )
        unusable(ran, kind="queue_unavailable", told="cannot be reached")
    server.resume()


@pytest.mark.both_redis
def test_a_read_only_replica_can_be_looked_at_and_refuses_the_rest(
    make_redis: Callable[..., RedisServer], command_lines: dict[str, list[str]]
) -> None:
    replica = make_redis()
    with replica.client() as client:
        client.replicaof("127.0.0.1", free_port())
        assert client.info("replication")["role"] == "slave"
        for command in ("status", "history", "report"):
            assert job_runner_inside(*command_lines[command], "--redis-url", replica.url).code == 0
        with unchanged(client):
            for command in ("enqueue", "enqueue-beatsheet"):
                ran = job_runner_inside(*command_lines[command], "--redis-url", replica.url, "--json")
                unusable(ran, kind="queue_unavailable", told="replica")


@pytest.mark.both_redis
def test_a_full_redis_can_be_looked_at_and_drained_by_hand(
    line: Line, redis_url: str, command_lines: dict[str, list[str]]
) -> None:
    line.enqueue("a", "b")
    line.client.config_set("maxmemory", "1")
    assert job_runner_inside("cancel", "a", "--yes", "--redis-url", redis_url).code == 0
    for command in LOOKING:
        assert job_runner_inside(*command_lines[command], "--redis-url", redis_url).code == 0
    unusable(
        job_runner_inside(*command_lines["enqueue-beatsheet"], "--redis-url", redis_url, "--json"),
        kind="queue_full",
        told="memory limit",
    )
    assert job_runner_inside("flush", "--hard", "--yes", "--redis-url", redis_url).code == 0
    assert line.client.hlen(line.keys.index) == 0


WRONG = {
    "status": (
        "jobs:counters",
        "jobs:stream",
        "jobs:retry:zset",
        "watcher:lock",
        "watcher:heartbeat",
        "uploads:spools",
    ),
    "history": ("jobs:history:done", "jobs:history:failed", "jobs:result"),
    "result": ("jobs:result", "jobs:failed", "jobs:req:index"),
    "report": ("jobs:result", "jobs:failed", "jobs:req:index"),
    "enqueue": ("jobs:req:index", "jobs:stream", "jobs:events", "batches:stream"),
    "enqueue-beatsheet": ("jobs:specs", "jobs:outstanding"),
    "retry": ("jobs:failed", "jobs:history:failed", "jobs:stream"),
    "cancel": ("jobs:req:index", "jobs:failed"),
    "flush": ("jobs:stream", "jobs:outstanding", "batches:stream", "jobs:result"),
}


@pytest.mark.both_redis
@pytest.mark.parametrize("command", COMMANDS)
def test_a_key_of_another_type_is_named(
    command: str, command_lines: dict[str, list[str]], line: Line, redis_url: str
) -> None:
    for name in WRONG[command]:
        line.client.flushall()
        line.client.hset(line.keys.index, "a", "failed")
        line.client.hset(line.keys.failed, "a", json.dumps({"job": {"voice": "v", "text": "t", "output_name": "a"}}))
        line.client.zadd(line.keys.history_failed, {"a": 1})
        line.client.zadd(line.keys.history_done, {"a": 1})
        key = f"pab:{name}"
        line.client.delete(key)
        line.client.geoadd(key, (1, 1, "x")) if name.endswith("counters") else line.client.rpush(key, "theirs")
        with unchanged(line.client):
            ran = job_runner_inside(*command_lines[command], "--redis-url", redis_url, "--json")
        unusable(ran, kind="queue_corrupt", told="WRONGTYPE")


def test_a_counter_that_is_no_number_is_named(line: Line, redis_url: str) -> None:
    line.client.hset(line.keys.counters, "done", "many")
    ran = job_runner_inside("status", "--json", "--redis-url", redis_url)
    unusable(ran, kind="queue_corrupt", told="the counter done reads 'many'")


@pytest.mark.parametrize(
    ("env", "told"),
    [
        ({"REDIS_URL": "http://127.0.0.1:6379"}, "REDIS_URL"),
        ({"REDIS_URL": "redis://127.0.0.1:port/0"}, "REDIS_URL"),
        ({"REDIS_URL_FILE": "/nowhere/url"}, "REDIS_URL_FILE: /nowhere/url cannot be read"),
        ({"REDIS_URL_FILE": "/dev/null"}, "REDIS_URL_FILE: /dev/null is empty"),
        ({"WATCHER_LEASE_IDLE_MS": "3 minutes"}, "WATCHER_LEASE_IDLE_MS"),
        ({"REDIS_TIMEOUT_SECONDS": "nan"}, "REDIS_TIMEOUT_SECONDS"),
        ({"KEY_PREFIX": "a\x01:"}, "KEY_PREFIX"),
    ],
)
def test_a_bad_setting_is_bad_input_and_named(env: dict[str, str], told: str) -> None:
    ran = job_runner_inside("status", env=env)
    assert ran.code == 2
    assert told in ran.err


def test_the_file_with_the_url_wins_over_the_variable(tmp_path: Path, redis_url: str) -> None:
    path = tmp_path / "url"
    path.write_text(f"{redis_url}\n", encoding="utf-8")
    env = {"REDIS_URL": "redis://127.0.0.1:1/0", "REDIS_URL_FILE": str(path)}
    assert job_runner_inside("status", env=env).code == 0
