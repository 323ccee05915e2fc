"""The table of allowed moves is what the scripts do, and nothing else."""

from __future__ import annotations

import json

import pytest

from lib.jobqueue.states import MOVES
from tests.support.queue_line import Line
from tests.support.queue_moves import READY
from tests.support.redis_server import RedisServer


@pytest.mark.both_redis
def test_every_change_of_state_is_in_the_table_of_moves(redis_server: RedisServer) -> None:
    """Each script is run where it has work to do; what it changed must be a row of states.MOVES."""
    seen: set[tuple[str, str, str]] = set()
    with redis_server.client() as client:
        for name, ready in READY.items():
            client.flushall()
            line = Line(client, redis_server.url)
            call = ready(line)
            before = _states(line)
            call(line.store)
            after = _states(line)
            line.close()
            for id_ in before.keys() | after.keys():
                was, now = before.get(id_, ""), after.get(id_, "")
                if was != now and name != "backfill":
                    seen.add((name, was, now))
    for name, was, now in seen:
        starts, end = MOVES[name]
        assert was in starts, f"{name} moved a job from {was!r}"
        assert now == end, f"{name} moved a job to {now!r}"
    assert {name for name, _, _ in seen} >= MOVES.keys() - {"claim_batch"}


def _states(line: Line) -> dict[str, str]:
    rows = line.client.hgetall(line.keys.index)
    return {id_: json.loads(text)["state"] if text.startswith("{") else "queued" for id_, text in rows.items()}
