"""Jobs brought to where the uploader takes over: spoken, spooled, handed over, on a real queue.

`Handed` makes them with the real scripts; `environment` starts the real uploader on them.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lib.jobqueue.look import Look
from lib.jobqueue.messages import BatchMessage
from lib.jobqueue.store import JobStore, new_token
from lib.spool import job_folder, spool_name
from ops.demo.tied import tied
from tests.support.wait import wait_until

ROOT = Path(__file__).parents[2]
LOCK = "tests lock"
ROLES = {"best.wav": "best", "takes.meta.json": "meta", "text.txt": "text"}
FILES = {
    "take_01.wav": b"RIFF take one" * 50,
    "best.wav": b"RIFF best" * 40,
    "takes.meta.json": b'{"takes": 1}',
    "text.txt": "Grüße.\n".encode(),
}


class Handed:
    """A queue and a spool, and jobs on their way through them."""

    def __init__(self, url: str, spool_dir: Path) -> None:
        self.url = url
        self.store = JobStore.connect(url)
        self.look = Look(self.store)
        self.spool_dir = spool_dir
        self.spool = spool_name(spool_dir)
        self.client: Any = self.store.client
        self.stream = self.store.keys.uploads_stream(self.spool)

    def close(self) -> None:
        self.client.close()

    def hand_over(
        self,
        request_id: str,
        output_name: str | None = None,
        files: Mapping[str, bytes] | None = None,
        **changes: Any,
    ) -> Path:
        """Queue, speak, spool and hand over one job; `changes` go into the payload. Returns its spool folder."""
        self.enqueue(request_id, output_name, changes.get("callback_data"))
        return self.speak_again(request_id, output_name, files, **changes)

    def enqueue(self, request_id: str, output_name: str | None = None, callback_data: object = None) -> None:
        name = output_name or request_id.replace(":", "/")
        spec = {"request_id": request_id, "output_name": name, "text": "Hello.", "voice": "newsroom"}
        self.store.enqueue([(request_id, "sha256:1", json.dumps({**spec, "callback_data": callback_data}))])

    def batch(self, *request_ids: str) -> tuple[str, str]:
        """Dispatch queued jobs and claim them as a batch; returns its id and token."""
        assert self.store.lock(LOCK, 600_000, "{}") == LOCK
        entries = self.client.xrange(self.store.keys.jobs_stream)
        by_id = {json.loads(fields["job"])["request_id"]: entry for entry, fields in entries}
        batch_id, token = new_token()[:12], new_token()
        jobs = [(one, by_id[one]) for one in request_ids]
        for entry_id, request_id in ((entry, one) for one, entry in jobs):
            self.store.admit([(entry_id, request_id, "sha256:1", "{}")])
        assert self.store.dispatch(LOCK, batch_id, "{}", jobs) == []
        slot = self.store.batches_stream("tests/slot-1")
        slot.ensure()
        message = next(
            message for message in map(BatchMessage.parse, slot.read(100, 0)) if message.batch_id == batch_id
        )
        assert self.store.claim_batch(message, "tests/slot-1", token) is not None
        self.store.start_jobs(batch_id, token, list(request_ids))
        return batch_id, token

    def speak_again(
        self, request_id: str, output_name: str | None = None, files: Mapping[str, bytes] | None = None, **changes: Any
    ) -> Path:
        """Bring a job that is queued (again) to the uploaders."""
        batch_id, token = self.batch(request_id)
        payload = self.spooled(batch_id, token, request_id, output_name, files, **changes)
        assert self.store.hand_over(batch_id, token, self.spool, [(request_id, json.dumps(payload))]) == ["ok"]
        self.store.finish_batch(batch_id, token)
        return self.spool_dir / str(payload["folder"])

    def spooled(
        self,
        batch_id: str,
        token: str,
        request_id: str,
        output_name: str | None = None,
        files: Mapping[str, bytes] | None = None,
        **changes: Any,
    ) -> dict[str, Any]:
        """Write a job's files into the spool and return its payload."""
        folder = job_folder(batch_id, request_id, token)
        listed = []
        for name, content in (FILES if files is None else files).items():
            path = self.spool_dir / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            listed.append(
                {
                    "path": name,
                    "role": ROLES.get(name, "take"),
                    "size": len(content),
                    "sha256": hashlib.sha256(content).hexdigest(),
                    "seconds": None,
                }
            )
        return {
            "v": 1,
            "request_id": request_id,
            "content_hash": "sha256:1",
            "output_name": output_name or request_id.replace(":", "/"),
            "attempt": 0,
            "run_id": "run-1",
            "batch_id": batch_id,
            "take_token": token,
            "folder": folder,
            "files": listed,
            "result": {"audio_seconds": 1.5, "engine": "none"},
            "callback_data": None,
            "box": {"executor": "local", "id": "local-1", "price_per_hour": 0.0},
            "cost_dollars": 0.0,
            "timings": {"seconds": 0.5},
            **changes,
        }

    def status(self, request_id: str) -> str | None:
        found = self.look.result(request_id)
        return None if found is None else str(found["status"])

    def wait_for(self, status: str, *request_ids: str, timeout: float = 15.0) -> list[dict[str, Any]]:
        """Wait until all have this status; returns what the queue says of them."""

        def reached() -> list[Any] | None:
            found = self.look.results(request_ids)
            return found if all(one and one["status"] == status for one in found) else None

        return wait_until(reached, timeout=timeout, what=f"{request_ids} {status}")

    def uploads(self) -> int:
        return int(self.client.xlen(self.stream))

    def environment(self, **settings: object) -> dict[str, str]:
        """The settings of an uploader on this queue and spool, and nothing else of ours from outside."""
        keep = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        own = {"REDIS_URL": self.url, "SPOOL_DIR": self.spool_dir, "WORKER_NAME": "tests", "UPLOADER_LEASE_MS": 3000}
        own |= {"UPLOADER_DISK_DIR": self.spool_dir.parent / "audio", "UPLOADER_RETRY_MAX_SECONDS": 0.3}
        return {**keep, **{name: str(value) for name, value in {**own, **settings}.items()}}


class UploaderProcess:
    """The real program, started as supervisord does."""

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        self.environment = dict(environment)
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> UploaderProcess:
        command = tied([sys.executable, "-P", "-m", "uploader"], os.getpid(), signal.SIGKILL)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        return self

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(timeout=10)

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self) -> int:
        """Ask it to stop; returns its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        return self.process.wait(timeout=40)

    def wait(self, timeout: float = 15.0) -> int:
        assert self.process is not None
        return self.process.wait(timeout=timeout)

    def lines(self) -> list[dict[str, Any]]:
        """What it has logged."""
        found = []
        for line in self.log.read_text(encoding="utf-8").splitlines():
            if line.startswith("{"):
                found.append(json.loads(line))
        return found

    def said(self, message: str) -> bool:
        return any(line["msg"] == message for line in self.lines())

    def __enter__(self) -> UploaderProcess:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(timeout=10)
