"""Daemons on machines whose clock is wrong: what counts is the time of Redis, and nothing is lost, late or early."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.redis_server import RedisServer
from tests.support.stack import DAEMONS, Stack, patched
from tests.support.wait import wait_until

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(180)]

DECADES_SECONDS = 1_500_000_000


@pytest.fixture
def stack(tmp_path: Path, make_redis: Callable[..., RedisServer]) -> Iterator[Stack]:
    made = Stack(tmp_path / "stack", make_redis())
    yield made
    made.close()


@pytest.mark.parametrize("off_seconds", [-DECADES_SECONDS, DECADES_SECONDS])
def test_clocks_that_are_wrong_by_decades_cost_nothing(stack: Stack, off_seconds: int) -> None:
    wrong = patched(f"import time\nright = time.time\ntime.time = lambda: right() + {off_seconds}")
    for name in DAEMONS:
        stack.start(name, prefix=wrong)
    ids = stack.enqueue(["ok"] * 8 + ["transient x"])
    wait_until(lambda: stack.row(ids[8]).get("state") == "retrying", timeout=20, what="one waits for its next attempt")
    assert 20 < stack.client.zscore("pab:jobs:retry:zset", ids[8]) - time.time() < 40
    stack.client.zadd("pab:jobs:retry:zset", {ids[8]: 1}, xx=True)
    wait_until(lambda: stack.row(ids[8]).get("attempt") == 2, timeout=20, what="it is tried again once it is due")
    stack.wait_settled(ids[:8])
    assert stack.done() == set(ids[:8])
    assert {name: count for name, count in stack.spoken().items() if count > 1} == {f"show/{ids[8][5:]}": 2}
    assert stack.command("cancel", ids[8], "--yes")["outcome"] == "cancelled"
    stack.wait_clean()
    assert set(stack.stop().values()) == {0}
    assert stack.processes() == []
