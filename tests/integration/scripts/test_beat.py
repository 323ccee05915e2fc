"""Beat: who is alive, by the clock of Redis."""

from __future__ import annotations

import pytest

from lib.jobqueue.look import Look
from tests.support.queue_line import Line

pytestmark = pytest.mark.both_redis


def test_workers_are_alive_for_a_while_by_their_role(line: Line) -> None:
    assert line.store.beat("watcher/host", "uploader/host/0") > 0
    look = Look(line.store)
    assert look.live_workers("uploader") == ["host/0"]
    line.client.zadd(line.keys.workers, {"uploader/host/0": 1_000})
    assert look.live_workers("uploader") == []


def test_those_silent_for_a_day_are_forgotten(line: Line) -> None:
    line.client.zadd(line.keys.workers, {"watcher/old": 1_000})
    line.store.beat("watcher/host")
    assert line.client.zrange(line.keys.workers, 0, -1) == ["watcher/host"]
