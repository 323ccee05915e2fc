"""A hash tag in the prefix keeps all keys in one slot, so that the queue works on a Redis Cluster."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest
from redis.crc import key_slot

from lib.jobqueue.keys import Keys
from tests.support.queue_line import Line
from tests.support.queue_moves import READY
from tests.support.redis_server import RedisServer
from tests.support.wait import wait_until

PREFIX = "{pab}:"


def test_all_keys_share_one_slot() -> None:
    keys = Keys(PREFIX)
    names = [value for name, value in vars(keys).items() if name != "prefix"]
    for name, method in inspect.getmembers(keys, inspect.ismethod):
        if name not in ("__init__", "job_keys"):
            names.append(method("x"))
    names.append(keys.sweep(keys.uploads_stream("x")))
    assert len(names) > 20
    assert {key_slot(name.encode()) for name in names} == {key_slot(b"pab")}


@pytest.mark.both_redis
def test_every_script_runs_on_a_cluster_which_checks_each_key_it_touches(
    make_redis: Callable[..., RedisServer],
) -> None:
    server = make_redis(cluster_enabled="yes")
    with server.client() as client:
        client.execute_command("CLUSTER", "ADDSLOTS", *range(16384))
        wait_until(lambda: "cluster_state:ok" in str(client.execute_command("CLUSTER", "INFO")))
        for ready in READY.values():
            client.flushall()
            line = Line(client, server.url, PREFIX)
            ready(line)(line.store)
            line.check()
            assert all(key.startswith(PREFIX) for key in client.scan_iter())
            line.close()
