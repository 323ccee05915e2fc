"""Unlock: only the owner gives the lock back."""

from __future__ import annotations

import pytest

from tests.support.queue_line import LOCK, Line
from tests.support.snapshot import unchanged

pytestmark = pytest.mark.both_redis


def test_the_owner_gives_it_back(line: Line) -> None:
    line.lock()
    line.store.unlock(LOCK)
    assert not line.client.exists(line.keys.watcher_lock)
    assert line.client.exists(line.keys.watcher_heartbeat)


def test_another_cannot(line: Line) -> None:
    line.lock()
    with unchanged(line.client):
        line.store.unlock("another token")
