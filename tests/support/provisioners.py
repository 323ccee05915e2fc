"""Provisioners for tests: `Provisioned` drives a queue around one, `ProvisionerProcess` is the real program.

`Provisioned` is the watcher and the producer of a test: it enqueues jobs and dispatches them as batches through the
real scripts. voice-synth is `fake_voice_synth.py` unless a test says otherwise.
"""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from lib.jobqueue.look import Look
from lib.jobqueue.spec import content_hash, normalize_job_spec
from lib.jobqueue.store import JobStore, new_token
from lib.spool import spool_name
from lib.telemetry.metrics import ProvisionerMetrics
from ops.demo.tied import tied
from provisioner.housekeeping import VoiceSynth, WorkFolder
from provisioner.local import LocalBox
from provisioner.main import Place, make_slot
from provisioner.observe import Observer
from provisioner.settings import ProvisionerSettings
from tests.support.wait import wait_until

ROOT = Path(__file__).parents[2]
LOCK = "tests lock"
FAKE = ROOT / "tests/support/fake_voice_synth.py"


class Provisioned:
    """A queue, a spool, a work folder and a voices folder for one provisioner."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self.work, self.spool_dir, self.control = folder / "work", folder / "spool", folder / "control"
        self.control.mkdir(parents=True)
        self.store = JobStore.connect(url)
        self.client: Any = self.store.client
        self.look = Look(self.store)
        self.spool = spool_name(self.spool_dir)
        self.fake = folder / "voice-synth"
        self.fake.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S -P "{FAKE}" "$@"\n')
        self.fake.chmod(self.fake.stat().st_mode | stat.S_IXUSR)
        self.jobs_made = 0
        self.programs: list[ProvisionerProcess] = []

    def close(self) -> None:
        """End whatever a failed test left running."""
        for program in self.programs:
            program.end()
        box = LocalBox(self.work, "tests")
        for batch_id in box.batch_ids():
            box.kill(batch_id)
        self.client.close()

    # Producer and watcher

    def enqueue(self, text: str = "ok", **fields: Any) -> str:
        """Enqueue one job; returns its request id."""
        self.jobs_made += 1
        raw = {"output_name": f"topic/beat-{self.jobs_made:03d}", "voice": "newsroom", "text": text, **fields}
        spec = normalize_job_spec(raw, strict=True)
        self.store.enqueue([(spec["request_id"], content_hash(spec), json.dumps(spec))])
        return spec["request_id"]

    def dispatch(self, *request_ids: str) -> str:
        """Put queued jobs into a batch of their own; returns its id."""
        assert self.store.lock(LOCK, 600_000, "{}") == LOCK
        by_id = {}
        for entry, fields in self.client.xrange(self.store.keys.jobs_stream):
            by_id[self.id_of(fields["job"])] = entry
        batch_id = new_token()[:12]
        assert self.store.dispatch(LOCK, batch_id, "{}", [(one, by_id[one]) for one in request_ids]) == []
        return batch_id

    def id_of(self, spec: str) -> str:
        try:
            return str(json.loads(spec)["request_id"])
        except ValueError:
            return spec

    def batch(self, *texts: str, **fields: Any) -> tuple[str, list[str]]:
        """Enqueue one job for each text and dispatch them together."""
        ids = [self.enqueue(text, **fields) for text in texts]
        return self.dispatch(*ids), ids

    # Looking

    def row(self, request_id: str) -> dict[str, Any]:
        return self.look.row(request_id) or {}

    def state(self, request_id: str) -> str:
        return str(self.row(request_id).get("state"))

    def wait_for(self, state: str, *request_ids: str, timeout: float = 20.0) -> None:
        wait_until(
            lambda: all(self.state(one) == state for one in request_ids),
            timeout=timeout,
            what=f"{state}: {[(one, self.row(one)) for one in request_ids]}",
        )

    def wait_batches_gone(self) -> None:
        wait_until(lambda: not self.client.hlen(self.store.keys.batches_index), what="no batch is open")

    def record(self, request_id: str) -> dict[str, Any]:
        found = self.look.result(request_id)
        assert found is not None
        return found

    def uploads(self) -> dict[str, dict[str, Any]]:
        """The payloads on the uploads stream, by request id."""
        entries = self.client.xrange(self.store.keys.uploads_stream(self.spool))
        return {fields["request_id"]: json.loads(fields["upload"]) for _, fields in entries}

    def calls(self) -> list[tuple[str, int, int]]:
        """(output name, pid, executor's pid) of each run of voice-synth."""
        path = self.control / "calls.txt"
        lines = path.read_text().splitlines() if path.exists() else []
        return [(name, int(pid), int(parent)) for name, pid, parent in (line.rsplit(" ", 2) for line in lines)]

    def wait_spoken(self, count: int) -> list[tuple[str, int, int]]:
        """Wait until voice-synth was started so often; returns `calls`."""
        wait_until(lambda: len(self.calls()) >= count, what=f"{count} runs of voice-synth")
        return self.calls()

    def allow(self, name: str) -> None:
        """Let jobs that `wait NAME` go on."""
        (self.control / name).touch()

    def spool_folders(self) -> list[str]:
        return sorted(path.relative_to(self.spool_dir).as_posix() for path in self.spool_dir.glob("*/*"))

    # The program

    def environment(self, **settings: object) -> dict[str, str]:
        """The settings of a provisioner on this queue, and nothing else of ours from outside."""
        keep = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        own = {
            "REDIS_URL": self.url,
            "SPOOL_DIR": self.spool_dir,
            "SPOOL_MIN_FREE_MB": 1,
            "WORKER_NAME": "tests",
            "PROVISIONER_WORK_DIR": self.work,
            "PROVISIONER_BATCH_LEASE_MS": 2000,
            "PROVISIONER_STOP_SECONDS": 5,
            "VOICE_SYNTH_BIN": self.fake,
            "FAKE_SYNTH_DIR": self.control,
        }
        return {**keep, **{name: str(value) for name, value in {**own, **settings}.items()}}

    def slots(self, **settings: object) -> RunningSlots:
        return RunningSlots(self.environment(**settings))

    def provisioner(self, **settings: object) -> ProvisionerProcess:
        program = ProvisionerProcess(self.environment(**settings), self.folder / "provisioner.jsonl")
        self.programs.append(program)
        return program


class RunningSlots:
    """The provisioner's real slots in threads of this process: quicker than the program, and open to looks inside."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        self._before: dict[str, str] = {}
        self.stop = threading.Event()

    def __enter__(self) -> RunningSlots:
        self._before = dict(os.environ)
        os.environ.clear()
        os.environ.update(self._environment)
        settings = ProvisionerSettings()
        self.registry = CollectorRegistry()
        observer = Observer(ProvisionerMetrics(self.registry))
        self.place = Place(
            spool_name(settings.spool_dir), WorkFolder(settings.provisioner_work_dir).take(), VoiceSynth()
        )
        self.slots = [make_slot(settings, self.stop, observer, self.place, one) for one in settings.consumers()]
        self.threads = [threading.Thread(target=slot.run, name=slot.name) for slot in self.slots]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        try:
            for thread in self.threads:
                thread.join(20)
                assert not thread.is_alive(), thread.name
        finally:
            self.place.work.give_back()
            os.environ.clear()
            os.environ.update(self._before)

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0


class ProvisionerProcess:
    """The real program, started as supervisord does."""

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        self.environment = dict(environment)
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> ProvisionerProcess:
        assert self.process is None
        command = tied([sys.executable, "-P", "-m", "provisioner"], os.getpid(), signal.SIGKILL)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        return self

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(timeout=10)

    def stop(self, timeout: float = 30.0) -> int:
        """Ask it to stop; returns its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(timeout=timeout)

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def lines(self) -> list[dict[str, Any]]:
        lines = self.log.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def said(self, message: str) -> list[dict[str, Any]]:
        return [line for line in self.lines() if line["msg"] == message]

    def __enter__(self) -> ProvisionerProcess:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=20)

    def end(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(timeout=10)


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rsplit(")", 1)[1].split()[0] not in ("Z", "X")
