"""A Redis that refuses to write while all three daemons work: they wait, say why, and lose nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ops.demo.redis_binary import free_port
from tests.support.redis_server import RedisServer
from tests.support.stack import DAEMONS, Stack
from tests.support.wait import wait_until

pytestmark = [pytest.mark.chaos, pytest.mark.both_redis, pytest.mark.timeout(180)]


@pytest.fixture
def stack(tmp_path: Path, make_redis: Callable[..., RedisServer]) -> Iterator[Stack]:
    made = Stack(tmp_path / "stack", make_redis())
    yield made
    made.close()


def complaints(stack: Stack) -> dict[str, int]:
    """How often each daemon has said that Redis would not let it."""
    return {name: sum("Redis cannot do this now" in str(one) for one in stack.log(name)) for name in DAEMONS}


def test_a_redis_that_becomes_read_only_is_waited_out_by_all(stack: Stack) -> None:
    ids = stack.up().enqueue(["ok"] * 10 + ["wait go"] * 10 + ["ok"] * 10)
    wait_until(lambda: len(stack.done()) >= 10, timeout=30, what="ten are done")
    stack.client.replicaof("127.0.0.1", free_port())
    stack.allow("go")
    wait_until(lambda: all(complaints(stack).values()), timeout=30, what="all complain")
    assert stack.crashed() == {}
    stack.client.replicaof("NO", "ONE")
    stack.wait_settled(ids)
    stack.wait_clean()
    assert stack.failed() == {}
    assert set(stack.spoken().values()) == {1}
    assert set(stack.stop().values()) == {0}
    assert stack.processes() == []


def test_a_redis_that_is_full_still_settles_what_it_has_accepted(stack: Stack) -> None:
    ids = stack.up().enqueue(["wait go"] * 12)
    wait_until(lambda: stack.row(ids[0]).get("state") == "speaking", timeout=20, what="one is being spoken")
    stack.client.config_set("maxmemory", 1)
    refused = stack.folder / "more.yaml"
    refused.write_text("{output_name: more, speaker: Ryan, text: ok}", encoding="utf-8")
    assert stack.command("enqueue", str(refused), code=3)["error"]["type"] == "queue_full"
    stack.allow("go")
    stack.wait_settled(ids)
    stack.wait_clean()
    assert stack.done() == set(ids)
    stack.client.config_set("maxmemory", 0)
    assert set(stack.stop().values()) == {0}
