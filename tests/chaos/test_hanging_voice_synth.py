"""A voice-synth that hangs: its deadline ends it and all it started, and its batch goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.support.redis_server import RedisServer
from tests.support.stack import Stack, patched
from tests.support.wait import wait_until

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(180)]

DEADLINE_SECONDS = 3.0  # the shortest deadline of a job is two minutes, which no test waits for
IMPATIENT = f"""
import lib.manifest.estimate as estimate
estimate.LEAST_DEADLINE_SECONDS, estimate.DEADLINE_FACTOR = {DEADLINE_SECONDS}, 1.0
"""
DELAYS_SECONDS = (30.0, 120.0)  # before the second and the third attempt, give or take a fifth


@pytest.fixture
def stack(tmp_path: Path, make_redis: Callable[..., RedisServer]) -> Iterator[Stack]:
    made = Stack(tmp_path / "stack", make_redis())
    yield made
    made.close()


def hanging(stack: Stack, attempts: int) -> bool:
    return len(list(stack.control.glob("hanging-*"))) == attempts


def fall_due(stack: Stack, job: str, delay_seconds: float) -> None:
    """Wait until the job waits for its next attempt, and let its time have come."""
    wait_until(lambda: stack.row(job).get("state") == "retrying", timeout=30, what=f"{job} waits: {stack.row(job)}")
    waits = stack.client.zscore("pab:jobs:retry:zset", job) - time.time()
    assert 0.8 * delay_seconds - 10 < waits < 1.2 * delay_seconds + 1
    stack.client.zadd("pab:jobs:retry:zset", {job: 1}, xx=True)


def test_a_hanging_job_is_killed_with_all_it_started_tried_again_and_given_up(stack: Stack) -> None:
    stack.start("provisioner", prefix=patched(IMPATIENT))
    for name in ("watcher", "uploader"):
        stack.start(name)
    ids = stack.enqueue(["ok", "hang", "ok", "ok", "ok"])
    job = ids[1]
    for attempt, delay in enumerate(DELAYS_SECONDS, start=1):
        wait_until(partial(hanging, stack, attempt), timeout=30, what=f"attempt {attempt} hangs")
        fall_due(stack, job, delay)
        assert stack.row(job)["attempt"] == attempt
    stack.wait_settled(ids)
    stack.wait_clean()
    assert stack.done() == {*ids} - {job}
    record = stack.failed()[job]
    assert (record["error_type"], record["attempt"]) == ("transient_exhausted", 3)
    assert record["error"].startswith("deadline: still running after")
    assert sorted(stack.spoken().values()) == [1, 1, 1, 1, 3]
    assert set(stack.stop().values()) == {0}
    assert stack.processes() == []
