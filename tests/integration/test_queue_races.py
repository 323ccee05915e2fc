"""Several at once: whoever wins, each promise holds afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lib
from lib.errors import LeaseLost
from lib.jobqueue.messages import BatchMessage
from lib.jobqueue.store import Holder, JobStore, Requeue
from tests.support.queue_line import BATCH_TOKEN, LOCK, SPOOL, STALE_TOKEN, Line, content_hash, record, spec
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.both_redis
ROOT = Path(lib.__file__).parent.parent


def together(url: str, *calls: Callable[[JobStore], Any]) -> list[Any]:
    """Run each call in a thread with a connection of its own, all released at one moment; return their answers."""
    gate = threading.Barrier(len(calls))
    answers: list[Any] = [None] * len(calls)

    def run(place: int, call: Callable[[JobStore], Any]) -> None:
        store = JobStore.connect(url)
        try:
            store.ping()
            gate.wait(timeout=10)
            answers[place] = call(store)
        except LeaseLost as error:
            answers[place] = error
        finally:
            store.client.close()

    threads = [threading.Thread(target=run, args=(place, call)) for place, call in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    return answers


PRODUCER = """
import json, sys
from lib.jobqueue.store import JobStore
url, count = sys.argv[1], int(sys.argv[2])
store = JobStore.connect(url)
sys.stdin.readline()
jobs = [(f"job-{n}", f"sha256:{n}", json.dumps({"request_id": f"job-{n}"})) for n in range(count)]
answer = []
for at in range(0, count, 7):
    answer += store.enqueue(jobs[at : at + 7])
print(json.dumps([status for status, _ in answer]))
"""


def test_four_producers_of_the_same_jobs_queue_each_once(line: Line, redis_server: RedisServer) -> None:
    count = 400
    command = [sys.executable, "-c", PRODUCER, redis_server.url, str(count)]
    producers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(4)
    ]
    for one in producers:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    answers = [json.loads(one.communicate(timeout=60)[0]) for one in producers]
    for place in range(count):
        assert Counter(answer[place] for answer in answers) == {"queued": 1, "duplicate_request": 3}
    ids = [json.loads(fields["job"])["request_id"] for _, fields in line.client.xrange(line.keys.jobs_stream)]
    assert sorted(ids) == sorted(f"job-{number}" for number in range(count))
    line.check()


@pytest.mark.parametrize("round_", range(5))
def test_of_two_who_claim_one_batch_one_holds_it(line: Line, redis_server: RedisServer, round_: int) -> None:
    message = line.dispatched("a", "b")

    def claimer(consumer: str, token: str) -> Callable[[JobStore], Any]:
        def claim(store: JobStore) -> Any:
            slot = store.batches_stream(consumer)
            slot.take_over(10)
            return store.claim_batch(message, consumer, token)

        return claim

    answers = together(redis_server.url, claimer("host/a", BATCH_TOKEN), claimer("host/b", STALE_TOKEN))
    holder = line.batch()["consumer"]
    winner, token = (0, BATCH_TOKEN) if holder == "host/a" else (1, STALE_TOKEN)
    assert not isinstance(answers[winner], LeaseLost)
    other = STALE_TOKEN if token == BATCH_TOKEN else BATCH_TOKEN
    assert line.store.start_jobs("batch-1", token, ["a"]) == [True]
    assert line.store.start_jobs("batch-1", other, ["b"]) == [False]
    line.check()


@pytest.mark.parametrize("round_", range(5))
def test_a_cancel_beside_a_hand_over_ends_in_one_state(line: Line, redis_server: RedisServer, round_: int) -> None:
    ids = [f"job-{number}" for number in range(20)]
    line.speaking(*ids)

    def cancel(store: JobStore) -> list[str]:
        return [store.cancel(one, "", record(one, "cancelled")) for one in ids]

    def hand_over(store: JobStore) -> list[str]:
        return [store.hand_over("batch-1", BATCH_TOKEN, SPOOL, [(one, "{}")])[0] for one in reversed(ids)]

    cancelled, handed = together(redis_server.url, cancel, hand_over)
    for one, fate, upload in zip(ids, cancelled, reversed(handed), strict=True):
        assert (fate, upload, line.state(one)) in {
            ("cancelled", "stale", "cancelled"),
            ("moved", "ok", "uploading"),
        }
    line.check()


def test_a_flush_beside_an_enqueue_leaves_no_half_of_a_job(line: Line, redis_server: RedisServer) -> None:
    line.queued(*(f"old-{number}" for number in range(200)))

    def enqueue(store: JobStore) -> list[str]:
        new = [(f"new-{number}", content_hash("x"), spec(f"new-{number}")) for number in range(300)]
        return [status for at in range(0, 300, 10) for status, _ in store.enqueue(new[at : at + 10])]

    def flush(store: JobStore) -> int:
        return sum(store.flush_step(20) for _ in range(30))

    statuses, _ = together(redis_server.url, enqueue, flush)
    assert set(statuses) == {"queued"}
    line.check()
    while line.store.flush_step():
        pass
    line.check_settled()


def test_two_watchers_dispatch_each_job_once(line: Line, redis_server: RedisServer) -> None:
    entries = line.queued(*(f"job-{number}" for number in range(60)))
    line.lock()
    jobs = list(entries.items())

    def dispatcher(name: str) -> Callable[[JobStore], list[str]]:
        def dispatch(store: JobStore) -> list[str]:
            taken = []
            for at in range(0, 60, 3):
                if not store.dispatch(LOCK, f"{name}-{at}", "{}", jobs[at : at + 3]):
                    taken += [id_ for id_, _ in jobs[at : at + 3]]
            return taken

        return dispatch

    first, second = together(redis_server.url, dispatcher("one"), dispatcher("two"))
    assert sorted(first + second) == sorted(entries)
    line.check()


def test_of_a_holder_and_the_audit_that_gave_its_batch_up_one_moves_each_job(
    line: Line, redis_server: RedisServer
) -> None:
    ids = [f"job-{number}" for number in range(40)]
    line.speaking(*ids)
    line.vanish(line.keys.batches_stream)
    holder = Holder("batch", BATCH_TOKEN)

    def requeue(store: JobStore) -> list[bool]:
        return [store.requeue(holder, [Requeue(one, "batch-1", "box_lost", losses=1)])[0] for one in ids]

    def audit(store: JobStore) -> list[str]:
        return [id_ for _ in range(20) for id_, _ in store.audit(0, 3)[1] + store.audit(20, 3)[1]]

    together(redis_server.url, requeue, audit)
    line.store.audit(0, 100)
    assert line.client.xlen(line.keys.jobs_stream) == 40
    assert line.store.audit_batches() in ([], ["batch-1"])
    line.check()


def test_two_watchers_want_the_lock_and_one_has_it(line: Line, redis_server: RedisServer) -> None:
    names = [f"watcher-{number} token" for number in range(4)]
    answers = together(redis_server.url, *(lambda store, name=name: store.lock(name, 60_000, name) for name in names))
    assert len(set(answers)) == 1
    assert line.client.get(line.keys.watcher_lock) == line.client.get(line.keys.watcher_heartbeat) == answers[0]


def test_one_of_many_sweepers_sweeps(line: Line, redis_server: RedisServer) -> None:
    entries = line.dispatched("a")
    assert isinstance(entries, BatchMessage)
    answers = together(
        redis_server.url,
        *(lambda store, n=n: store.batches_stream(f"host/p-{n}").reclaim(0, 10, 60_000) for n in range(4)),
    )
    assert sorted(len(one) for one in answers) == [0, 0, 0, 1]
