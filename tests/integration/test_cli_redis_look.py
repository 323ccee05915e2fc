"""`status`, `history` and `result` against a real Redis."""

from __future__ import annotations

import json

import pytest

from tests.support.command import job_runner, job_runner_inside
from tests.support.queue_line import LOCK, Line
from tests.support.snapshot import unchanged


def status(url: str, **env: str) -> dict[str, object]:
    ran = job_runner_inside("status", "--json", "--redis-url", url, env=env)
    assert ran.code == 0, ran
    return ran.json


@pytest.mark.both_redis
def test_status_of_an_empty_redis_is_idle(redis_url: str) -> None:
    ran = job_runner("status", "--redis-url", redis_url)
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[0].startswith("health: idle - ")
    assert {"outstanding: 0", "pending: 0", "stale_pel: 0", "lock_owner: -", "watcher_last_seen: -"} <= set(lines)
    assert "\x1b" not in ran.out


@pytest.mark.both_redis
def test_status_tells_what_the_playbook_reads(line: Line, redis_url: str) -> None:
    line.queued("a", "b")
    line.retrying("c")
    line.client.delete(line.keys.watcher_lock)
    found = status(redis_url)
    assert (found["outstanding"], found["pending"], found["lock_owner"]) == (3, 2, None)
    assert found["health"] == {**found["health"], "verdict": "watcher_not_running", "ok": False}
    beat = {"ts": "2026-01-01T00:00:00Z", "consumer": "host/watcher-0", "run_id": "r1", "reason": "batch is filling"}
    line.store.lock(LOCK, 60_000, json.dumps(beat))
    found = status(redis_url)
    assert (found["lock_owner"], found["watcher_last_seen"]) == ("watcher-1", "2026-01-01T00:00:00Z")
    assert found["watcher_reason"] == "batch is filling"
    assert found["states"] == {**found["states"], "queued": 2, "retrying": 1}
    assert found["health"]["verdict"] == "watcher_silent"
    assert found["retries_waiting"] == 1


def test_a_lease_that_nobody_renews_counts_as_stale_after_the_time_of_the_setting(line: Line, redis_url: str) -> None:
    line.queued("a", "b")
    line.store.lock(LOCK, 60_000, "{}")
    assert status(redis_url)["stale_pel"] == 0
    found = status(redis_url, WATCHER_LEASE_IDLE_MS="1")
    assert (found["stale_pel"], found["lease_idle_ms"]) == (2, 1)
    assert found["health"]["verdict"] == "stale"


@pytest.mark.parametrize("heartbeat", ["", "no json", "[1]", '{"ts": {"a": 1}, "consumer": 7, "reason": ["x"]}'])
def test_status_survives_a_heartbeat_of_any_shape(line: Line, redis_url: str, heartbeat: str) -> None:
    line.enqueue("a")
    line.client.set(line.keys.watcher_heartbeat, heartbeat)
    line.client.set(line.keys.watcher_lock, "own\x1b]0;er token")
    ran = job_runner_inside("status", "--redis-url", redis_url)
    assert ran.code == 0, ran
    assert "\x1b" not in ran.out
    status(redis_url)


def test_history_is_newest_first_and_can_be_narrowed(line: Line, redis_url: str) -> None:
    line.done("d1", "d2")
    line.failed("f1", batch_id="batch-2")
    line.enqueue("c1")
    line.store.cancel("c1", "", '{"status": "cancelled", "error_type": "cancelled"}')
    for at, one in enumerate(("d1", "d2")):
        line.client.zadd(line.keys.history_done, {one: at + 1})
    line.client.zadd(line.keys.history_failed, {"f1": 10, "c1": 20})

    def ids(*arguments: str) -> list[str]:
        ran = job_runner_inside("history", *arguments, "--json", "--redis-url", redis_url)
        assert ran.code == 0, ran
        return [row["request_id"] for row in ran.json["jobs"]]

    assert ids() == ["c1", "f1", "d2", "d1"]
    assert ids("--limit", "2") == ["c1", "f1"]
    assert ids("--status", "done") == ["d2", "d1"]
    assert ids("--status", "failed") == ["c1", "f1"]
    told = job_runner("history", REDIS_URL=redis_url)
    assert told.code == 0
    assert [row.split()[1:3] for row in told.out.splitlines()[1:]] == [
        ["cancelled", "c1"],
        ["failed", "f1"],
        ["done", "d2"],
        ["done", "d1"],
    ]


def test_history_says_that_records_of_an_older_version_are_not_listed_yet(line: Line, redis_url: str) -> None:
    line.client.hset(line.keys.result, "old", '{"status": "done"}')
    ran = job_runner_inside("history", "--redis-url", redis_url)
    assert ran.out == "no job has ended yet\n"
    assert ran.err == "1 older records are not listed yet; a running watcher adds them\n"


@pytest.mark.parametrize("limit", ["0", "-1", "x", "1e3", "10001"])
def test_history_refuses_a_limit_that_is_none(limit: str) -> None:
    ran = job_runner_inside("history", f"--limit={limit}", "--json")
    assert ran.code == 2
    assert ran.json["error"]["type"] == "usage"
    assert "from 1 to 10000" in ran.json["error"]["message"]


def test_result_shows_a_record_or_how_far_the_job_is(line: Line, redis_url: str) -> None:
    line.done("d")
    line.failed("f", batch_id="batch-2")
    line.speaking("s", batch_id="batch-3")

    def result(one: str) -> dict[str, object]:
        ran = job_runner_inside("result", one, "--json", "--redis-url", redis_url)
        assert ran.code == 0, ran
        return {key: ran.json[key] for key in ("request_id", "status", "final")}

    assert result("d") == {"request_id": "d", "status": "done", "final": True}
    assert result("f") == {"request_id": "f", "status": "failed", "final": True}
    assert result("s") == {"request_id": "s", "status": "speaking", "final": False}
    line.client.hset(line.keys.index, "old", "queued")
    assert result("old") == {"request_id": "old", "status": "queued", "final": False}
    told = job_runner("result", "s", REDIS_URL=redis_url)
    assert "status: speaking\n" in told.out
    assert "queued_at: 20" in told.out


def test_an_unknown_request_id_ends_with_4_and_names_the_nearest(line: Line, redis_url: str) -> None:
    line.enqueue("topic:beat-001")
    ran = job_runner("result", "topic:beat-0001", "--redis-url", redis_url)
    assert (ran.code, ran.out) == (4, "")
    assert ran.err == "error: topic:beat-0001: no such request in this Redis\n  did you mean topic:beat-001?\n"
    as_json = job_runner_inside("result", "nothing-like-it", "--redis-url", redis_url, "--json")
    assert as_json.code == 4
    assert as_json.json["error"]["type"] == "not_found"


def test_what_foreigners_wrote_cannot_reach_the_terminal(line: Line, redis_url: str) -> None:
    evil = "a\x1b[2Jb\x9b31m\u202ec\r\nd"
    record = {"status": "failed", "error": evil, "error_type": evil, "job": {evil: evil, "list": [{"x": evil}]}}
    line.client.hset(line.keys.failed, "evil", json.dumps(record))
    line.client.zadd(line.keys.history_failed, {"evil": 1, evil: 2})
    line.client.hset(line.keys.failed, evil, "\x1b[2J")
    for arguments in (("history",), ("result", "evil"), ("result", "evil", "--json"), ("history", "--json")):
        ran = job_runner_inside(*arguments, "--redis-url", redis_url)
        assert ran.code == 0, ran
        assert not set(ran.out) & {"\x1b", "\x9b", "\u202e", "\r"}
    assert json.loads(ran.out)["jobs"][1]["error"] == evil


def test_looking_changes_nothing(line: Line, redis_url: str) -> None:
    line.done("d")
    line.storing("u", batch_id="batch-2")
    with unchanged(line.client):
        for arguments in (("status",), ("history",), ("result", "d"), ("result", "u"), ("result", "nobody")):
            job_runner_inside(*arguments, "--redis-url", redis_url)


@pytest.mark.both_redis
def test_nothing_that_grows_with_the_records_is_ever_read_whole(line: Line, redis_url: str) -> None:
    line.done(*(f"done-{number}" for number in range(30)))
    line.failed(*(f"failed-{number}" for number in range(30)))
    large = {line.keys.result, line.keys.failed, line.keys.index, line.keys.specs}
    with line.client.monitor() as monitor:
        for words in (["status"], ["history", "--limit", "1"], ["result", "done-1"], ["result", "absent"]):
            assert job_runner_inside(*words, "--redis-url", redis_url).code in (0, 4)
        line.client.echo("the end")
        commands: list[str] = []
        while "the end" not in (command := monitor.next_command()["command"]):
            commands.append(command)
    touching = {command.split()[0].lower() for command in commands if large & set(command.split())}
    assert touching >= {"hmget"}
    assert touching <= {"hget", "hmget", "hlen", "hexists", "type", "exists"}
