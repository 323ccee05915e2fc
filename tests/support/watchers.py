"""Watchers for tests: `RunningWatcher`, the real parts in threads of the test, and `WatcherProcess`, the program.

Also jobs for them to find. Refuses to know what a test expects.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

from prometheus_client import CollectorRegistry

from lib.jobqueue import content_hash, normalize_job_spec
from lib.jobqueue.look import Look
from lib.jobqueue.messages import BatchMessage
from lib.jobqueue.store import JobStore
from lib.process import HealthServer
from lib.telemetry.metrics import WatcherMetrics
from tests.support.wait import wait_until
from watcher.held import Held
from watcher.lease import Lock, Renewer
from watcher.loop import Watcher
from watcher.observe import Observer
from watcher.pulse import Pulse, RedisClock
from watcher.settings import WatcherSettings


def spec(number: int, voice: str = "newsroom", **more: Any) -> dict[str, Any]:
    """A job as a producer writes it."""
    return {
        "request_id": f"topic:beat-{number:03d}",
        "output_name": f"topic/beat-{number:03d}",
        "voice": voice,
        "text": f"This is sentence number {number}, spoken calmly.",
        **more,
    }


def enqueue(store: JobStore, specs: Iterable[dict[str, Any]]) -> list[str]:
    """Put jobs on the queue the way the command line does; returns their request ids."""
    jobs = []
    for one in specs:
        normal = normalize_job_spec(one, strict=False)
        jobs.append((normal["request_id"], content_hash(normal), json.dumps(normal)))
    assert {status for status, _ in store.enqueue(jobs)} <= {"queued"}
    return [request_id for request_id, _, _ in jobs]


def slots(store: JobStore, count: int) -> None:
    """Say that slots are alive."""
    store.beat(*(f"slot/host/provisioner-{number}" for number in range(1, count + 1)))


def batches(store: JobStore) -> list[BatchMessage]:
    """Every batch on the stream, oldest first."""
    entries, _ = store.batches_stream("test").page(1_000)
    return [BatchMessage.parse(entry) for entry in entries]


def dispatched(store: JobStore) -> list[str]:
    """The request ids in all batches."""
    return [request_id for batch in batches(store) for request_id in batch.request_ids]


def pending_of(store: JobStore, consumer: str) -> list[str]:
    """The ids of the entries that a watcher leases."""
    return store.jobs_stream(consumer).own_ids(10_000)[0]


def run_through(store: JobStore, slot: str = "host/provisioner-1") -> list[str]:
    """Take one batch if there is one, and bring its jobs to their end as done; returns their request ids."""
    stream = store.batches_stream(slot)
    stream.ensure()
    done: list[str] = []
    for entry in stream.read(1, 0):
        message = BatchMessage.parse(entry)
        claimed = store.claim_batch(message, slot, "batch-token")
        assert claimed is not None
        ids = [job.request_id for job in claimed.jobs]
        store.start_jobs(message.batch_id, "batch-token", ids)
        store.hand_over(message.batch_id, "batch-token", "spool", [(one, '{"files": []}') for one in ids])
        store.finish_batch(message.batch_id, "batch-token")
        done += ids
    if done:
        settle_uploads(store)
    return done


def settle_uploads(store: JobStore) -> None:
    """Settle everything on the uploads stream as done."""
    from lib.jobqueue.messages import UploadMessage

    uploads = store.uploads_stream("spool", "host/uploader-0")
    uploads.ensure()
    messages = [UploadMessage.parse(entry) for entry in uploads.read(1_000, 0)]
    claimed = store.claim_uploads("spool", "host/uploader-0", "upload-token", messages)
    rows = [(one.message.request_id, one.message.entry, '{"status": "done"}') for one in claimed]
    assert all(store.complete("spool", "upload-token", rows)) if rows else True


class RunningWatcher:
    """The watcher's real parts, in threads of this process."""

    def __init__(self, url: str, name: str = "one", **settings: Any) -> None:
        given = {"watcher_lock_ttl_ms": 2_000, "watcher_audit_seconds": 0.1, **settings}
        self.settings = WatcherSettings.model_validate({"redis_url": url, "worker_name": name, **given})
        self.registry = CollectorRegistry()
        self.observer = Observer(WatcherMetrics(self.registry))
        self.stop = threading.Event()
        stores = [
            JobStore.connect(url, self.settings.key_prefix, timeout_seconds=seconds, connections=4, retries=0)
            for seconds in (2.0, 0.5, 2.0)
        ]
        self.stores = stores
        self._wait_for_lead = False
        self.clock = RedisClock()
        self.pulse = Pulse(self.settings.consumer, self.clock)
        self.held = Held()
        ttl_ms = self.settings.watcher_lock_ttl_ms
        self.lock = Lock(stores[1], self.settings.consumer, ttl_ms, self.pulse.heartbeat, self.observer)
        idle_ms = self.settings.watcher_lease_idle_ms
        self.renewer = Renewer(stores[2], self.settings.consumer, idle_ms, self.lock, self.held, self.observer)
        self.health = HealthServer("127.0.0.1", 0, max_age_seconds=30)
        self.watcher = Watcher(
            self.settings,
            stores[0],
            self.held,
            self.lock,
            self.renewer,
            self.pulse,
            self.clock,
            self.observer,
            self.health,
            self.stop,
        )
        self.watcher.tick_seconds = 0.1
        self.watcher.idle_block_ms = 50
        self.threads = [
            threading.Thread(target=self.watcher.run, name="loop"),
            threading.Thread(target=self.lock.keep, args=(self.stop,), name="lock"),
            threading.Thread(target=self.renewer.keep, args=(self.stop,), name="leases"),
        ]

    def __enter__(self) -> RunningWatcher:
        for thread in self.threads:
            thread.start()
        if self._wait_for_lead:
            try:
                self.wait_lead()
            except AssertionError:
                self.__exit__(None, None, None)
                raise
        return self

    def __exit__(self, _t: type[BaseException] | None, _v: BaseException | None, _tb: TracebackType | None) -> None:
        self.stop.set()
        self.renewer.poke()
        for thread in self.threads:
            thread.join(10)
            assert not thread.is_alive(), thread.name
        try:
            self.lock.release()
        finally:
            for store in self.stores:
                store.client.close()

    def leading(self) -> RunningWatcher:
        """For `with`: enter it only once it leads."""
        self._wait_for_lead = True
        return self

    def wait_lead(self) -> None:
        wait_until(lambda: self.lock.believed() and self.watcher.not_ready() is None, what="it leads")

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0


class WatcherProcess:
    """`python -m watcher` with settings from keywords; its log in a file."""

    def __init__(self, url: str, folder: Path, name: str = "one", **settings: object) -> None:
        given = {"WATCHER_LOCK_TTL_MS": 2_000, "WATCHER_AUDIT_SECONDS": 0.2, **settings}
        environment = {key: value for key, value in os.environ.items() if not key.startswith("WATCHER_")}
        environment |= {"REDIS_URL": url, "WORKER_NAME": name, **{key: str(value) for key, value in given.items()}}
        self.output = folder / f"watcher-{name}.jsonl"
        with self.output.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "watcher"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=Path(__file__).resolve().parents[2],
            )

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.output.read_text().splitlines() if line.startswith("{")]

    def said(self, message: str) -> bool:
        return any(line["msg"] == message for line in self.lines())

    def wait_said(self, message: str) -> None:
        wait_until(lambda: self.said(message), timeout=20, what=message)

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(number)
        return self.process.wait(timeout=10)

    def __enter__(self) -> WatcherProcess:
        return self

    def __exit__(self, _t: type[BaseException] | None, _v: BaseException | None, _tb: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.end(signal.SIGKILL)


def look(store: JobStore) -> Look:
    return Look(store)
