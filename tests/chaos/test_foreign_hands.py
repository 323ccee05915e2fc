"""Other hands in the queue while all three daemons work: foreign entries, edited rows, keys that vanish or change.

Whatever they do, no daemon ends, and every job that was accepted settles once the hands are off.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from tests.support.redis_server import RedisServer
from tests.support.stack import Stack
from tests.support.wait import wait_until

pytestmark = [pytest.mark.chaos, pytest.mark.both_redis, pytest.mark.timeout(180)]

DEEP = b"[" * 100_000
FOREIGN: list[dict[bytes, bytes]] = [
    {b"x": b"y"},
    {b"\xff": b"\xff"},
    {b"job": b"{"},
    {b"job": b"\xff\xfe"},
    {b"job": b'{"a":' + DEEP},
    {b"batch_id": b"x", b"header": b"{}", b"jobs": b'["a"]'},
    {b"batch_id": b"../../etc", b"header": b"{}", b"jobs": b'["a"]'},
    {b"batch_id": b"q", b"header": b"{}", b"jobs": DEEP},
    {b"batch_id": b"q", b"header": DEEP, b"jobs": b'["a"]'},
    {b"request_id": b"x", b"upload": b"5"},
    {b"request_id": b"x", b"upload": DEEP},
    {b"request_id": b"show:beat-0001", b"upload": b'{"folder":"../..","files":[]}'},
]
EVENTS: list[dict[bytes, bytes]] = [
    {b"request_id": b"\xff", b"state": b"done"},
    {b"request_id": b"nobody", b"state": b"failed"},
    {b"request_id": b"show:beat-0001", b"state": b"\xff"},
    {b"state": b"failed"},
]
ROWS = [
    "rubbish", "queued", "{}", "[]", "", '{"state":5}', '{"state":"nonsense"}', '{"state":"queued"}',
    '{"state":"done"}', '{"state":"speaking","batch":7,"entry":{}}', '{"state":"uploading","stage":5,"uploads":{}}',
    '{"v":1,"state":"retrying","entry":[1]}', '{"state":"queued","entry":"99999999999999999999999-0","x":1e999}',
]  # fmt: skip
FIELDS = [
    "attempt", "lost", "crashes", "alone", "queued_ms", "handed_ms", "entry", "batch", "token", "uploads", "stage",
    "hash",
]  # fmt: skip
BATCH_FIELDS = ["ids", "losses", "token", "entry", "consumer"]
VALUES: list[object] = ["x", {}, [], None, -1, 1e30, True, "", [1], ["a", {}]]


@pytest.fixture
def stack(tmp_path: Path, make_redis: Callable[..., RedisServer]) -> Iterator[Stack]:
    made = Stack(tmp_path / "stack", make_redis())
    yield made
    made.close()


def spools(line: Stack) -> list[str]:
    return list(line.client.scan_iter("pab:uploads:*", _type="stream"))


def after(line: Stack, count: int) -> None:
    """Wait until so many jobs have settled, and no daemon has ended meanwhile."""
    wait_until(lambda: line.crashed() or line.client.hlen("pab:jobs:result") >= count, timeout=30)
    assert line.crashed() == {}


def test_foreign_entries_on_every_stream_end_no_daemon(stack: Stack) -> None:
    first = stack.up().enqueue(["ok"])
    stack.wait_settled(first)
    with redis.Redis(port=stack.server.port) as raw:
        for key in ("pab:jobs:stream", "pab:batches:stream", "pab:jobs:events", *spools(stack)):
            for fields in [*FOREIGN, *EVENTS]:
                raw.xadd(key, fields)
    ids = stack.enqueue(["ok"] * 12)
    stack.wait_settled(ids)
    stack.wait_clean()
    assert set(ids) <= stack.done()
    assert {one["error_type"] for one in stack.failed().values()} == {"invalid_job"}
    topic = stack.audio / "show/job.json"
    wait_until(lambda: json.loads(topic.read_bytes())["done"] == 13, what="the topic's summary follows")
    assert set(stack.stop().values()) == {0}


def test_rows_edited_to_rubbish_stop_no_other_job_and_settle_themselves(stack: Stack) -> None:
    chance = random.Random(7)
    ids = stack.up().enqueue(["ok"] * 90)
    for step in range(24):
        after(stack, 3 * step)
        left = [one for one in ids if one not in stack.done()]
        victim = chance.choice(left)
        row = stack.row(victim)
        if step % 2:
            row[chance.choice(FIELDS)] = chance.choice(VALUES)
        stack.client.hset("pab:jobs:req:index", victim, json.dumps(row) if step % 2 else ROWS[step // 2])
    stack.wait_settled(ids)
    stack.wait_clean(but="counter")  # what a row was before somebody edited it, nobody knows
    assert stack.failed() == {}
    assert set(stack.stop().values()) == {0}


def test_batch_rows_edited_to_rubbish_send_their_jobs_out_again(stack: Stack) -> None:
    chance = random.Random(3)
    ids = stack.up().enqueue(["ok"] * 50)
    for step in range(8):
        after(stack, 5 * step)
        for batch_id, text in list(stack.client.hgetall("pab:batches:index").items())[:1]:
            row = stack.row("") if step % 3 == 0 else json.loads(text)
            row[chance.choice(BATCH_FIELDS)] = chance.choice(VALUES)
            stack.client.hset("pab:batches:index", batch_id, json.dumps(row))
    stack.wait_settled(ids, timeout=60)
    stack.wait_clean()
    assert stack.failed() == {}
    assert set(stack.stop().values()) == {0}


def test_entries_that_strangers_delete_or_trim_cost_no_job(stack: Stack) -> None:
    chance = random.Random(5)
    ids = stack.up().enqueue(["ok"] * 60)
    for step in range(10):
        after(stack, 4 * step)
        for key in ("pab:jobs:stream", "pab:batches:stream", *spools(stack)):
            entries = stack.client.xrange(key, count=50)
            if entries and step % 3:
                stack.client.xdel(key, chance.choice(entries)[0])
            elif entries:
                stack.client.xtrim(key, maxlen=0, approximate=False)
    stack.wait_settled(ids)
    stack.wait_clean()
    assert stack.failed() == {}
    assert set(stack.stop().values()) == {0}


def test_keys_of_another_type_are_waited_out(stack: Stack) -> None:
    ids = stack.up().enqueue(["ok"] * 40)
    fixed = ["jobs:stream", "batches:stream", "jobs:req:index", "jobs:outstanding", "batches:index", "watcher:lock"]
    for step, key in enumerate([f"pab:{name}" for name in fixed] + ["uploads"]):
        after(stack, 2 * (step + 1))
        key = spools(stack)[0] if key == "uploads" else key
        before = stack.client.exists(key) and stack.client.rename(key, "aside")
        stack.client.rpush(key, "another type")
        wait_until(lambda: any("WRONGTYPE" in str(one) for name in stack.running for one in stack.log(name)[-5:]))
        assert stack.crashed() == {}
        stack.client.delete(key)
        if before:
            stack.client.rename("aside", key)
    stack.wait_settled(ids)
    stack.wait_clean()
    assert stack.failed() == {}
    assert set(stack.stop().values()) == {0}


def test_after_a_flushall_the_same_jobs_can_be_enqueued_again(stack: Stack) -> None:
    stack.up().enqueue(["ok"] * 30)
    after(stack, 5)
    stack.client.flushall()
    stack.made = 0
    ids = stack.enqueue(["ok"] * 30)
    stack.wait_settled(ids)
    stack.wait_clean()
    assert stack.done() == set(ids)
    assert set(stack.stop().values()) == {0}
    assert stack.processes() == []
