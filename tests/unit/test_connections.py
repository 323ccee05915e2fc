"""Connections to Redis have our own bounds, never those a library happens to ship."""

from __future__ import annotations

import provisioner.loop
import provisioner.main
import uploader.loop
import uploader.main
import watcher.loop
import watcher.main
from lib.redisio import connect


def test_a_client_has_the_bounds_it_was_asked_for() -> None:
    client = connect("redis://localhost/0", timeout_seconds=7.5, connections=11, retries=2)
    options = client.connection_pool.connection_kwargs
    assert options["socket_timeout"] == 7.5
    assert options["socket_connect_timeout"] == 5.0
    assert options["protocol"] == 2
    assert client.connection_pool.max_connections == 11
    retry = client.get_retry()
    assert retry is not None
    assert retry.get_retries() == 2


def test_no_connection_gives_up_before_the_longest_wait_for_an_entry_is_over() -> None:
    waits = {
        "watcher": (watcher.loop.Watcher.idle_block_ms / 1000, watcher.main.CALL_SECONDS),
        "provisioner": (provisioner.loop.READ_BLOCK_MS / 1000, provisioner.main.SLOT_TIMEOUT_SECONDS),
        "uploader": (uploader.loop._BLOCK_SECONDS, uploader.main._CALL_SECONDS),
    }
    assert {name: pair for name, pair in waits.items() if pair[0] * 2 > pair[1]} == {}
