"""The provisioner and its executors, killed again and again in the middle of their work: every job arrives, once."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioner.local import lock_holder
from tests.support.provisioners import Provisioned
from tests.support.wait import wait_until

pytestmark = pytest.mark.chaos


@pytest.fixture
def here(redis_url: str, tmp_path: Path) -> Iterator[Provisioned]:
    made = Provisioned(redis_url, tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("seed", range(3))
def test_every_job_is_handed_over_once_whoever_is_killed(here: Provisioned, seed: int) -> None:
    chance = random.Random(seed)
    waiting = {one for _ in range(6) for one in here.batch(*["ok"] * 8)[1]}
    jobs = set(waiting)
    for round_ in range(8):
        program = here.provisioner(PROVISIONER_SLOTS=2, PROVISIONER_BATCH_LEASE_MS=1000).start()
        done, more = len(here.uploads()), chance.randint(1, 6)
        wait_until(lambda: len(here.uploads()) >= min(done + more, len(jobs)), what=f"round {round_}")  # noqa: B023
        if chance.random() < 0.5:
            holders = [lock_holder(folder) for folder in here.work.glob("[!.]*")]
            for pid in holders:
                if pid:
                    os.kill(pid, signal.SIGKILL)
        program.send(chance.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM]))
        assert program.process is not None
        program.process.wait(timeout=30)
        _dispatch_what_came_back(here, jobs)
    with here.provisioner(PROVISIONER_SLOTS=2, PROVISIONER_BATCH_LEASE_MS=1000):
        wait_until(lambda: _dispatch_what_came_back(here, jobs) or set(here.uploads()) == jobs, timeout=60)
        here.wait_batches_gone()
    entries = here.client.xrange(here.store.keys.uploads_stream(here.spool))
    assert sorted(fields["request_id"] for _, fields in entries) == sorted(jobs)
    assert {here.state(one) for one in jobs} == {"uploading"}
    for payload in here.uploads().values():
        assert (here.spool_dir / payload["folder"] / "take_01.wav").stat().st_size > 0


def _dispatch_what_came_back(here: Provisioned, jobs: set[str]) -> None:
    """Be the watcher: a job that was put back goes out again by itself."""
    for one in jobs:
        if here.state(one) == "queued":
            here.dispatch(one)
