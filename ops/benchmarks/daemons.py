"""Jobs per second through watcher, provisioner and uploader, with an executor that does nothing; and their memory.

`python -m ops.benchmarks.daemons [--jobs 50000]`. Starts a Redis of its own and the three real processes, enqueues, and
watches the counters. The limit it is held against is the rate at which one client settles such jobs when it makes every
move itself, in batches, with nothing in between.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lib.jobqueue.look import Look
from lib.jobqueue.messages import BatchMessage, UploadMessage
from lib.jobqueue.spec import content_hash, normalize_job_spec
from lib.jobqueue.store import JobStore, new_token
from ops.benchmarks.machine import resident_mib, table
from ops.demo.redis_binary import answers_ping, find_redis_server, free_port, server_arguments
from ops.demo.tied import tied

ROOT = Path(__file__).resolve().parents[2]
DAEMONS = ("watcher", "provisioner", "uploader")


@contextmanager
def process(command: list[str], environment: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program that ends with us."""
    child = subprocess.Popen(
        tied(command, os.getpid()), env=environment, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    try:
        yield child
    finally:
        child.terminate()
        child.wait(timeout=30)


def own_redis(stack: ExitStack, folder: Path) -> str:
    """Start a Redis as it is shipped (append-only file, fsync always); returns its URL."""
    port = free_port()
    folder.mkdir()
    stack.enter_context(process(server_arguments(find_redis_server(), port, folder)))
    pause = threading.Event()
    while not answers_ping(port):
        pause.wait(0.05)
    return f"redis://127.0.0.1:{port}/0"


def jobs(count: int) -> list[tuple[str, str, str]]:
    """Jobs of a season of shows: 50 lines a topic, 20 voices."""
    made = []
    for number in range(count):
        raw = {
            "output_name": f"show-{number // 50:05d}/line-{number % 50:03d}",
            "voice": f"voice-{number // 50 % 20}",
            "text": "A line of narration of ordinary length, as producers write them every day.",
        }
        spec = normalize_job_spec(raw, strict=True)
        made.append((str(spec["request_id"]), content_hash(spec), json.dumps(spec)))
    return made


def bare_rate(store: JobStore, sample: list[tuple[str, str, str]], batch: int = 128) -> float:
    """Jobs per second when one client makes every move itself, in batches, with nothing in between."""
    stream, batches, uploads = (
        store.jobs_stream("bare"),
        store.batches_stream("bare"),
        store.uploads_stream("bare", "bare"),
    )
    for one in (stream, batches, uploads):
        one.ensure()
    store.lock("bare x", 600_000, "{}")
    store.enqueue(sample)
    started = time.perf_counter()
    settled = 0
    while entries := stream.read(batch, 0):
        specs = [
            (entry.id, json.loads(entry.fields["job"])["request_id"], "", entry.fields["job"]) for entry in entries
        ]
        store.admit(specs)
        batch_id = new_token()
        store.dispatch("bare x", batch_id, "{}", [(spec[1], spec[0]) for spec in specs])
        token = new_token()
        claimed = store.claim_batch(BatchMessage.parse(batches.read(1, 0)[0]), "bare", token)
        assert claimed is not None
        ids = [job.request_id for job in claimed.jobs]
        store.start_jobs(batch_id, token, ids)
        store.hand_over(batch_id, token, "bare", [(id_, json.dumps({"request_id": id_})) for id_ in ids])
        store.finish_batch(batch_id, token)
        messages = [UploadMessage.parse(entry) for entry in uploads.read(batch, 0)]
        held = store.claim_uploads("bare", "bare", token, messages)
        store.complete(
            "bare", token, [(one.message.request_id, one.message.entry, '{"status":"done"}') for one in held]
        )
        settled += len(held)
    return settled / (time.perf_counter() - started)


def daemons_rate(url: str, folder: Path, count: int) -> tuple[float, dict[str, list[float]]]:
    """Jobs per second through the real processes, and the resident MiB of each at 25, 50, 75 and 100 % of the jobs."""
    environment = {
        **os.environ,
        "REDIS_URL": url,
        "PROVISIONER_EXECUTOR": "null",
        "PROVISIONER_WORK_DIR": str(folder / "work"),
        "SPOOL_DIR": str(folder / "spool"),
        "UPLOADER_SINK": "disk",
        "UPLOADER_DISK_DIR": str(folder / "audio"),
        "LOG_LEVEL": "WARNING",
        **{f"{name.upper()}_METRICS_PORT": "0" for name in DAEMONS},
    }
    store = JobStore.connect(url)
    look, pause = Look(store), threading.Event()
    store.enqueue(jobs(count))
    memory: dict[str, list[float]] = {name: [] for name in DAEMONS}
    with ExitStack() as stack:
        started = time.perf_counter()
        running = {
            name: stack.enter_context(process([sys.executable, "-P", "-m", name], environment)) for name in DAEMONS
        }
        done = 0
        while done < count:
            pause.wait(0.2)
            done = look.status(180_000)["states"]["done"]
            if done >= count * (len(memory["watcher"]) + 1) / 4:
                for name, child in running.items():
                    memory[name].append(resident_mib(child.pid))
            dead = [name for name, child in running.items() if child.poll() is not None]
            if dead:
                raise SystemExit(f"daemons: {', '.join(dead)} ended")
        return count / (time.perf_counter() - started), memory


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=50_000)
    count = parser.parse_args().jobs
    with tempfile.TemporaryDirectory(prefix="job-runner-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        url = own_redis(stack, folder / "redis")
        bare = bare_rate(JobStore.connect(url.removesuffix("0") + "1"), jobs(min(count, 10_000)))
        rate, memory = daemons_rate(url, folder, count)
    rows = [
        ["one client, every move, nothing in between", f"{bare:,.0f}", "1.00"],
        ["watcher + provisioner + uploader", f"{rate:,.0f}", f"{rate / bare:.2f}"],
    ]
    table(f"{count:,} jobs through the daemons, executor null", ["", "jobs/s", "ratio"], rows)
    table(
        "Resident MiB after a share of the jobs",
        ["process", "25 %", "50 %", "75 %", "100 %"],
        [[name, *(f"{value:.0f}" for value in (values + values[-1:] * 4)[:4])] for name, values in memory.items()],
    )


if __name__ == "__main__":
    main()
