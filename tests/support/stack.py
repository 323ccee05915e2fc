"""The three daemons as real processes on one Redis, for tests that break them together.

Imports none of the project's code: environment variables, the command line, and what lies in Redis and on disk.
voice-synth is `fake_voice_synth.py`, so that what is measured is the line and not the speech.
"""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import psutil

from ops.demo.tied import tied
from tests.support.redis_server import RedisServer
from tests.support.wait import wait_until

ROOT = Path(__file__).parents[2]
DAEMONS = ("watcher", "provisioner", "uploader")
FAKE = ROOT / "tests/support/fake_voice_synth.py"


def patched(code: str) -> list[str]:
    """A prefix for `Stack.start`: the program begins with `code` in its own process, which may change its parts."""
    rest = "import runpy, sys\nsys.argv = sys.argv[-1:]\nrunpy.run_module(sys.argv[0], run_name='__main__')"
    return [sys.executable, "-P", "-c", f"{code}\n{rest}"]


class Stack:
    """A line under test. A program is named by its module and, for a second one, a suffix: `watcher`, `watcher-b`."""

    def __init__(self, folder: Path, server: RedisServer, **settings: object) -> None:
        self.folder, self.server = folder, server
        self.audio, self.spool, self.work = folder / "audio", folder / "spool", folder / "work"
        self.control, self.logs = folder / "control", folder / "logs"
        for made in (self.control, self.logs):
            made.mkdir(parents=True)
        self.fake = folder / "voice-synth"
        self.fake.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S -P "{FAKE}" "$@"\n')
        self.fake.chmod(self.fake.stat().st_mode | stat.S_IXUSR)
        keep = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        own = {
            "REDIS_URL": server.url,
            "WORKER_NAME": "stack",
            "PROVISIONER_EXECUTOR": "local",
            "PROVISIONER_WORK_DIR": self.work,
            "PROVISIONER_BATCH_LEASE_MS": 3000,
            "PROVISIONER_STOP_SECONDS": 5,
            "SPOOL_DIR": self.spool,
            "SPOOL_MIN_FREE_MB": 1,
            "UPLOADER_SINK": "disk",
            "UPLOADER_DISK_DIR": self.audio,
            "UPLOADER_LEASE_MS": 3000,
            "UPLOADER_RETRY_MAX_SECONDS": 2,
            "WATCHER_LEASE_IDLE_MS": 4000,
            "WATCHER_LOCK_TTL_MS": 2000,
            "WATCHER_BATCH_MAX_JOBS": 5,
            "WATCHER_AUDIT_SECONDS": 1,
            "VOICE_SYNTH_BIN": self.fake,
            "FAKE_SYNTH_DIR": self.control,
        }
        self.environment = {**keep, **{name: str(value) for name, value in {**own, **settings}.items()}}
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.client: Any = server.client()
        self.made = 0

    # Programs

    def start(self, name: str, prefix: Iterable[str] = (), **settings: object) -> subprocess.Popen[bytes]:
        environment = {**self.environment, **{key: str(value) for key, value in settings.items()}}
        command = [*prefix, sys.executable, "-P", "-m", name.partition("-")[0]]
        with (self.logs / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                tied(command, os.getpid(), signal.SIGKILL),
                cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        return self.running[name]

    def up(self) -> Stack:
        for name in DAEMONS:
            self.start(name)
        return self

    def crashed(self) -> dict[str, int]:
        """Programs that ended though nobody asked them to."""
        codes = {name: process.poll() for name, process in self.running.items()}
        return {name: code for name, code in codes.items() if code is not None}

    def kill(self, name: str) -> None:
        self.running[name].kill()
        self.running[name].wait(timeout=10)

    def stop(self, *names: str, timeout: float = 20.0) -> dict[str, int]:
        chosen = names or tuple(self.running)
        for name in chosen:
            self.running[name].terminate()
        return {name: self.running.pop(name).wait(timeout=timeout) for name in chosen}

    def close(self) -> None:
        """End all that a failed test left."""
        for process in self.running.values():
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
                process.wait(timeout=10)
        for left in self.processes():
            left.kill()
        self.client.close()

    def processes(self) -> list[psutil.Process]:
        """Processes at work in this stack's folder (executors, voice-synths), Redis not among them."""
        found = []
        for process in psutil.process_iter():
            try:
                words = [process.cwd(), *process.cmdline()]
                if process.pid != os.getpid() and any(str(self.folder) in word for word in words):
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                continue
        return [one for one in found if "redis" not in one.name()]

    def log(self, name: str) -> list[dict[str, Any]]:
        lines = (self.logs / f"{name}.log").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    # The command line

    def command(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "cli", *arguments, "--json"],
            cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return dict(json.loads(done.stdout))

    def enqueue(self, texts: Iterable[str], **fields: object) -> list[str]:
        rows = []
        for text in texts:
            self.made += 1
            rows.append({
                "output_name": f"show/beat-{self.made:04d}", "speaker": "Ryan", "language": "French", "text": text,
                **fields,
            })  # fmt: skip
        path = self.folder / f"jobs-{self.made}.yaml"
        path.write_text(json.dumps({"jobs": rows}), encoding="utf-8")
        self.command("enqueue", str(path))
        return [str(row["output_name"]).replace("/", ":") for row in rows]

    # Looking

    def row(self, request_id: str) -> dict[str, Any]:
        try:
            value = json.loads(self.client.hget("pab:jobs:req:index", request_id) or "{}")
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    def done(self) -> set[str]:
        return set(self.client.hkeys("pab:jobs:result"))

    def failed(self) -> dict[str, dict[str, Any]]:
        return {key: json.loads(text) for key, text in self.client.hgetall("pab:jobs:failed").items()}

    def settled(self, ids: Iterable[str]) -> bool:
        return set(ids) <= self.done() | set(self.client.hkeys("pab:jobs:failed"))

    def wait_settled(self, ids: Iterable[str], timeout: float = 40.0) -> None:
        wanted = set(ids)

        def left() -> bool:
            assert not self.crashed(), (self.crashed(), self.logs)
            return self.settled(wanted)

        try:
            wait_until(left, timeout=timeout, every=0.1)
        except AssertionError as error:
            missing = sorted(wanted - self.done() - set(self.client.hkeys("pab:jobs:failed")))
            rows = [(one, self.client.hget("pab:jobs:req:index", one)) for one in missing[:5]]
            raise AssertionError(f"{len(missing)} unsettled: {rows}; {self.logs}") from error

    def spoken(self) -> dict[str, int]:
        """How often voice-synth was begun for each output name."""
        path = self.control / "calls.txt"
        counts: dict[str, int] = {}
        for line in path.read_text().splitlines() if path.exists() else []:
            name = line.rsplit(" ", 2)[0]
            counts[name] = counts.get(name, 0) + 1
        return counts

    def allow(self, name: str) -> None:
        """Let jobs that `wait NAME` go on."""
        (self.control / name).touch()

    def leftovers(self) -> Mapping[str, object]:
        """What should all be empty, or in step, once everything is settled."""
        client = self.client
        streams = ["pab:jobs:stream", "pab:batches:stream", *client.scan_iter("pab:uploads:*", _type="stream")]
        found: dict[str, object] = {key: n for key in streams if (n := client.xlen(key))}
        for key in streams:
            if client.exists(key):
                found |= {f"{key} {g['name']}": g["pending"] for g in client.xinfo_groups(key) if g["pending"]}
        found |= {key: n for key in ("pab:jobs:retry:zset", "pab:jobs:outstanding") if (n := client.zcard(key))}
        found |= {key: n for key in ("pab:batches:index", "pab:jobs:specs") if (n := client.hlen(key))}
        counters = {name: int(value) for name, value in client.hgetall("pab:jobs:counters").items()}
        done, failed = client.hlen("pab:jobs:result"), client.hlen("pab:jobs:failed")
        real = {"done": done, "failed+cancelled": failed}
        told = {
            "done": counters.pop("done", 0),
            "failed+cancelled": counters.pop("failed", 0) + counters.pop("cancelled", 0),
        }
        if told != real:
            found["counters"] = (told, real)
        found |= {f"counter {name}": value for name, value in counters.items() if value}
        both = set(client.hkeys("pab:jobs:result")) & set(client.hkeys("pab:jobs:failed"))
        if both:
            found["two records"] = sorted(both)
        return found

    def wait_clean(self, timeout: float = 20.0, but: str = "\0") -> None:
        """`but`: what begins with this may be left."""
        try:
            wait_until(
                lambda: not [one for one in self.leftovers() if not one.startswith(but)], timeout=timeout, every=0.1
            )
        except AssertionError as error:
            raise AssertionError(f"left over: {self.leftovers()}; {self.logs}") from error
