"""Bulk idempotent enqueue against a bare redis-py loop of pipelined EVALSHA, one job a call, on the same Redis.

`python -m ops.benchmarks.enqueue [--jobs 20000] [--runs 5]`. Aim: at least the bare loop's rate (ratio >= 1.0).

Both sides send ready-made specs to a Redis of this run's own, as it is shipped (append-only file, fsync always), from
one connection, and both leave each job on a stream, once. The bare loop's script does the least that is idempotent:
HSETNX of the id, then XADD; 256 calls a pipeline. Ours also keeps row, spec, counters, age, events and the content
hash. Each way is measured with new jobs, and again with the same jobs, which are then all duplicates.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import redis

from lib.jobqueue.spec import content_hash, normalize_job_spec
from lib.jobqueue.store import JobStore
from ops.benchmarks.daemons import own_redis
from ops.benchmarks.machine import table

AIM = 1.0
PIPELINE = 256
BARE = """
if redis.call('HSETNX', KEYS[1], ARGV[1], 'queued') == 0 then return 0 end
redis.call('XADD', KEYS[2], '*', 'job', ARGV[2])
return 1
"""
Job = tuple[str, str, str]


def jobs(count: int) -> list[Job]:
    """Jobs as the command line makes them: id, content hash, spec."""
    made = []
    for number in range(count):
        name = f"topic-{number // 100:04}/beat-{number % 100:03}"
        raw = {
            "output_name": name,
            "voice": f"voice-{number % 20}",
            "text": f"Sentence number {number} of a long script, which tells about the weather of the day.",
            "callback_data": {"topic_id": number // 100, "beat_id": number % 100, "project": "benchmark"},
        }
        spec = normalize_job_spec(raw, strict=True)
        made.append((str(spec["request_id"]), content_hash(spec), json.dumps(spec)))
    return made


def bare_loop(client: redis.Redis, made: list[Job]) -> int:
    """The yardstick; returns how many were new."""
    sha = client.script_load(BARE)
    new = 0
    for at in range(0, len(made), PIPELINE):
        pipe = client.pipeline(transaction=False)
        for request_id, _, spec in made[at : at + PIPELINE]:
            pipe.evalsha(sha, 2, "bare:index", "bare:stream", request_id, spec)
        new += sum(pipe.execute())
    return new


def ours(store: JobStore, made: list[Job]) -> int:
    """The product's own way; returns how many were new."""
    return sum(status == "queued" for status, _ in store.enqueue(made))


def measure(url: str, made: list[Job], runs: int) -> dict[str, list[float]]:
    """Seconds of each run, by what was done; the two sides take turns."""
    seconds: dict[str, list[float]] = {}
    store = JobStore.connect(url)
    client: Any
    with redis.Redis.from_url(url) as client:
        for turn in range(runs + 1):
            client.flushall()
            for what, expected in (("new jobs", len(made)), ("duplicates", 0)):
                for side in ("bare loop", "store"):
                    started = time.perf_counter()
                    new = ours(store, made) if side == "store" else bare_loop(client, made)
                    took = time.perf_counter() - started
                    if new != expected:
                        raise RuntimeError(f"{side}, {what}: {new} were new, not {expected}")
                    if turn:  # the first turn warms both up
                        seconds.setdefault(f"{side}, {what}", []).append(took)
            if client.xlen("bare:stream") != store.client.xlen(store.keys.jobs_stream):
                raise RuntimeError("the two streams differ in length")
    store.client.close()
    return seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    made = jobs(options.jobs)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        seconds = measure(own_redis(stack, Path(folder) / "redis"), made, options.runs)
    rows = []
    for what in ("new jobs", "duplicates"):
        base = statistics.median(seconds[f"bare loop, {what}"])
        for side, aim in (("bare loop", ""), ("store", f">= {AIM}")):
            median = statistics.median(seconds[f"{side}, {what}"])
            rows.append((f"{side}, {what}", f"{len(made) / median:,.0f}", f"{base / median:.2f}", aim))
    table(f"Enqueue of {len(made):,} jobs, median of {options.runs} runs", ("what", "jobs/s", "ratio", "aim"), rows)


if __name__ == "__main__":
    main()
