"""What holds for every script: its header, wrong types, a lost reply, a server that is full, read-only or forgetful."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import redis

from lib.errors import QueueCorrupt, QueueFull, QueueUnavailable
from lib.jobqueue.store import JobStore
from lib.redisio import Scripts
from tests.support.queue_line import Line
from tests.support.queue_moves import LUA, READY, REPORTS, SCRIPTS
from tests.support.redis_server import RedisServer
from tests.support.snapshot import timeless, unchanged
from tests.support.tcp_proxy import CuttingProxy

pytestmark = pytest.mark.both_redis


def test_every_script_has_a_queue_made_ready_for_it() -> None:
    assert sorted(READY) == SCRIPTS
    assert len(SCRIPTS) >= 27


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_header_says_what_it_does_its_keys_its_arguments_and_what_it_returns(name: str) -> None:
    source = (LUA / f"{name}.lua").read_text(encoding="utf-8")
    lines = source.splitlines()
    header = []
    for line in lines:
        if not line.startswith("--"):
            break
        header.append(line)
    assert not header[0].startswith("-- KEYS"), "the first line says what the script does"
    assert ("ARGV" in source) == any(line.startswith("-- ARGV[1") for line in header)
    for part in ("-- KEYS[1", "-- Returns "):
        assert any(line.startswith(part) for line in header), f"{name}.lua: no {part}"


def _answer(value: object) -> str:
    """An answer as text. `hand_over` says `already` where an earlier call did it: to its caller the same as `ok`."""
    return timeless(value).replace('"already"', '"ok"')


class _Stop(Exception):
    pass


def _keys_of(monkeypatch: pytest.MonkeyPatch, name: str, call: Callable[[JobStore], object], line: Line) -> list[str]:
    """The KEYS the call would send for script `name`, without sending it."""
    found: list[str] = []

    def record(_self: Scripts, script: str, keys: Sequence[str], _args: Sequence[Any]) -> Any:
        assert script == name
        found.extend(keys)
        raise _Stop

    with monkeypatch.context() as patch:
        patch.setattr(Scripts, "call", record)
        with pytest.raises(_Stop):
            call(line.store)
    return found


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_key_of_another_type_is_named_corrupt_and_nothing_is_written(
    name: str, line: Line, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = READY[name](line)
    keys = _keys_of(monkeypatch, name, call, line)
    assert keys
    with redis.Redis.from_url(redis_server.url) as binary:
        for key in keys:
            kept = binary.dump(key)
            line.client.delete(key)
            line.client.rpush(key, "not ours")
            with unchanged(line.client), pytest.raises(QueueCorrupt, match="WRONGTYPE"):
                call(line.store)
            line.client.delete(key)
            if kept is not None:
                binary.restore(key, 0, kept)
    call(line.store)
    line.check()


@pytest.mark.parametrize("name", SCRIPTS)
def test_called_again_after_a_lost_reply_it_answers_the_same_and_does_nothing_more(name: str, line: Line) -> None:
    call = READY[name](line)
    first = call(line.store)
    before = timeless(line.snapshot())
    second = call(line.store)
    assert timeless(line.snapshot()) == before
    if name not in REPORTS:
        assert _answer(second) == _answer(first)
    line.check()


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_reply_cut_on_its_way_is_asked_for_again_and_nothing_is_doubled(
    name: str, line: Line, redis_server: RedisServer
) -> None:
    calm = Line(line.client, redis_server.url, "calm:")
    want = READY[name](calm)(calm.store)
    call = READY[name](line)
    with CuttingProxy(redis_server.port) as proxy:
        through = JobStore.connect(f"redis://127.0.0.1:{proxy.port}/0")
        proxy.cut_next(b"EVALSHA", after_bytes=1)
        have = call(through)
        assert proxy.cuts == 1
        through.client.close()
    calm.close()
    if name not in REPORTS:
        assert _answer(have) == _answer(want)
    line.check()
    found = line.snapshot()
    ours = {key: value for key, value in found.items() if key.startswith("pab:")}
    theirs = {key.replace("calm:", "pab:", 1): value for key, value in found.items() if key.startswith("calm:")}
    assert timeless(ours) == timeless(theirs)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_full_redis_takes_no_new_work_and_carries_accepted_work_forward(name: str, line: Line) -> None:
    call = READY[name](line)
    line.client.config_set("maxmemory", "1")
    if name == "enqueue":
        with unchanged(line.client), pytest.raises(QueueFull):
            call(line.store)
        line.client.config_set("maxmemory", "0")
    call(line.store)
    line.client.config_set("maxmemory", "0")
    line.check()
    if name not in REPORTS:
        with_room = timeless(line.snapshot())
        call(line.store)
        assert timeless(line.snapshot()) == with_room, "the full Redis had done all of it"


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_redis_that_forgot_its_scripts_is_told_them_again(name: str, line: Line) -> None:
    call = READY[name](line)
    line.client.script_flush()
    call(line.store)
    line.check()


def test_a_read_only_replica_is_unavailable_and_stays_as_it_is(make_redis: Callable[..., RedisServer]) -> None:
    server = make_redis()
    with server.client() as client:
        for name in SCRIPTS:
            client.flushall()
            line = Line(client, server.url)
            call = READY[name](line)
            client.replicaof("127.0.0.1", 1)  # nobody is there: it keeps the data it has and takes no writes
            with unchanged(client), pytest.raises(QueueUnavailable):
                call(line.store)
            client.replicaof("NO", "ONE")
            line.close()
