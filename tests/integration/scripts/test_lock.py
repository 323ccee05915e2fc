"""Lock: one watcher at a time, until it stops renewing."""

from __future__ import annotations

import pytest

from tests.support.queue_line import LOCK, Line
from tests.support.snapshot import unchanged

pytestmark = pytest.mark.both_redis


def test_a_free_lock_is_taken_with_a_life_and_a_heartbeat(line: Line) -> None:
    assert line.store.lock(LOCK, 60_000, '{"ts": 1}') == LOCK
    assert 0 < line.client.pttl(line.keys.watcher_lock) <= 60_000
    assert line.client.get(line.keys.watcher_heartbeat) == '{"ts": 1}'


def test_the_owner_keeps_it_and_its_life_begins_anew(line: Line) -> None:
    line.store.lock(LOCK, 1_000, "{}")
    assert line.store.lock(LOCK, 60_000, '{"ts": 2}') == LOCK
    assert line.client.pttl(line.keys.watcher_lock) > 1_000
    assert line.client.get(line.keys.watcher_heartbeat) == '{"ts": 2}'


def test_another_learns_the_owner_and_leaves_lock_life_and_heartbeat(line: Line) -> None:
    line.lock()
    with unchanged(line.client):
        assert line.store.lock("another token", 999_000, '{"ts": 3}') == LOCK
    assert line.client.pttl(line.keys.watcher_lock) <= 60_000


def test_the_same_name_with_another_token_is_another_owner(line: Line) -> None:
    line.lock()
    with unchanged(line.client):
        assert line.store.lock("watcher-1 other", 60_000, "{}") == LOCK
