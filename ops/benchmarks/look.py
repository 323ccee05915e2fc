"""`status` and `history` with a million records against a thousand: looking must not cost more as history grows.

`python -m ops.benchmarks.look [--records 1000000]`. Aim: at most 1.5 times the time of the small queue.

Both queues lie in one Redis of this run's own under two prefixes, and are asked in turns. One job of each kind is
brought to its end by the real scripts; the others are written as those scripts left it, under their own ids, because a
million jobs through every stage would take minutes and leave the same.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import redis

from lib.jobqueue.look import Look
from lib.jobqueue.messages import BatchMessage, UploadMessage
from lib.jobqueue.records import done_record, failed_record
from lib.jobqueue.store import Holder, JobStore
from ops.benchmarks.daemons import process
from ops.benchmarks.enqueue import jobs
from ops.benchmarks.machine import table
from ops.demo.redis_binary import answers_ping, find_redis_server, free_port, server_arguments

AIM = 1.5
SMALL = 1_000
ROUNDS = 300
FAILED_OF = 20  # one record in so many is a failed one
PAGE = 2_000


def settle(store: JobStore) -> None:
    """Bring one job to done, one to failed, and leave some queued, all by the real scripts."""
    made = jobs(60)
    store.enqueue(made)
    watcher, slot = store.jobs_stream("bench/watcher-0"), store.batches_stream("bench/provisioner-0")
    uploader = store.uploads_stream("0123456789ab", "bench/uploader-0")
    for stream in (watcher, slot, uploader):
        stream.ensure()
    done, failed = made[0][0], made[1][0]
    entries = [entry.id for entry in watcher.read(2, 0)]
    store.lock("bench lock", 3_600_000, '{"ts": 1}')
    store.dispatch("bench lock", "batch", "{}", [(done, entries[0]), (failed, entries[1])])
    token = "b" * 32
    store.claim_batch(BatchMessage.parse(slot.read(1, 0)[0]), slot.consumer, token)
    record = failed_record(failed, error_type="bad", stage="synth", error="x" * 200, attempt=1, failed_at=1.0, job={})
    store.fail(Holder("batch", token), [(failed, "batch", json.dumps(record), "bad")])
    upload = {"request_id": done, "content_hash": made[0][1], "output_name": "topic/beat", "result": {}}
    store.hand_over("batch", token, "0123456789ab", [(done, json.dumps(upload))])
    store.finish_batch("batch", token)
    messages = [UploadMessage.parse(entry) for entry in uploader.read(1, 0)]
    claimed = store.claim_uploads("0123456789ab", uploader.consumer, token, messages)
    takes = [{"key": f"narration/topic/beat/take_{take:02}.wav", "sha256": "f" * 64} for take in (1, 2)]
    final = done_record(claimed[0].row, upload, {"best": takes[0], "takes": takes, "meta": takes[1]}, completed_at=2.0)
    store.complete("0123456789ab", token, [(done, messages[0].entry, json.dumps(final))])


def multiply(store: JobStore, client: redis.Redis, count: int) -> None:
    """Write `count` more final records, each as the scripts left that of its kind."""
    keys = store.keys
    sides = {
        "done": (keys.result, keys.history_done, jobs(1)[0][0]),
        "failed": (keys.failed, keys.history_failed, jobs(2)[1][0]),
    }
    kinds = {
        state: (records, history, id_, str(client.hget(keys.index, id_)), str(client.hget(records, id_)))
        for state, (records, history, id_) in sides.items()
    }
    for at in range(0, count, PAGE):
        pipe = client.pipeline(transaction=False)
        for state, (records, history, template_id, row, record) in kinds.items():
            page = [
                f"season-{number // 1000:04}/beat-{number % 1000:03}"
                for number in range(at, min(at + PAGE, count))
                if (number % FAILED_OF == 0) == (state == "failed")
            ]
            if page:
                pipe.hset(records, mapping={id_: record.replace(template_id, id_) for id_ in page})
                pipe.hset(keys.index, mapping=dict.fromkeys(page, row))
                pipe.zadd(history, dict.fromkeys(page, 1700000000000 + at))
                pipe.hincrby(keys.counters, state, len(page))
        pipe.execute()


def questions(look: Look) -> dict[str, Callable[[], Any]]:
    """What is measured."""
    return {
        "status": lambda: look.status(180_000),
        "history --limit 20": lambda: look.history(20),
        "history --limit 20 --status failed": lambda: look.history(20, "failed"),
        "history --limit 200": lambda: look.history(200),
    }


def measure(small: Look, large: Look) -> dict[str, tuple[float, float]]:
    """Median seconds of each question to both, asked in turns."""
    answer = {}
    for name, ask_small in questions(small).items():
        asks = (ask_small, questions(large)[name])
        seconds: tuple[list[float], list[float]] = ([], [])
        for turn in range(ROUNDS):
            for side in (0, 1) if turn % 2 else (1, 0):
                started = time.perf_counter()
                asks[side]()
                seconds[side].append(time.perf_counter() - started)
        answer[name] = (statistics.median(seconds[0]), statistics.median(seconds[1]))
    return answer


def main() -> None:
    """Load, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--records", type=int, default=1_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        port = free_port()
        # No append-only file: nothing that is measured writes, and a million on the disk would serve nobody.
        arguments = [*server_arguments(find_redis_server(), port, Path(folder)), "--appendonly", "no"]
        server = stack.enter_context(process(arguments, dict(os.environ)))
        pause = threading.Event()
        while not answers_ping(port) and server.poll() is None:
            pause.wait(0.05)
        looks = []
        client = stack.enter_context(redis.Redis(port=port, decode_responses=True))
        for prefix, count in (("small:", SMALL), ("large:", options.records)):
            store = JobStore.connect(f"redis://127.0.0.1:{port}/0", prefix)
            stack.callback(store.client.close)
            settle(store)
            multiply(store, client, count)
            looks.append(Look(store))
        used = client.info("memory")["used_memory_human"]
        seconds = measure(*looks)
    rows = [
        (name, f"{few * 1000:.2f}", f"{many * 1000:.2f}", f"{many / few:.2f}", f"<= {AIM}")
        for name, (few, many) in seconds.items()
    ]
    title = f"Looking at {options.records:,} records (Redis holds {used}) against {SMALL:,}, median of {ROUNDS}"
    table(title, ("question", f"ms, {SMALL:,}", f"ms, {options.records:,}", "ratio", "aim"), rows)


if __name__ == "__main__":
    main()
