"""The production line on this machine: Redis and the three workers under supervisord, by production's own files.

Owns the folders, the environment, starting, stopping, and the proof that nothing is left. Refuses to know what the
workers do: it sees their processes, their Redis and their log.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ops.demo import leftovers
from ops.demo.redis_binary import find_redis_server, free_port, port_is_free
from ops.demo.tied import tied

FOLDERS = ("audio", "logs", "redis", "spool", "work")
MARKER = ".job-runner-demo"
STOP_SECONDS = 60.0
LINGER_SECONDS = 5.0
START_SECONDS = 30.0
_FOREIGN = (
    *("WATCHER_", "PROVISIONER_", "UPLOADER_", "SUPERVISOR_", "REDIS_", "SPOOL_", "S3_", "METRICS_"),
    *("KEY_PREFIX", "LOG_LEVEL", "WORKER_NAME", "PUSHGATEWAY", "PYTHONPATH", "PYTHONHOME"),
)


class DemoError(Exception):
    """The demo cannot go on; the text says why and what to do."""


class Line:
    """Everything that runs for one demo. Use it in a `with`: leaving stops it all, whatever happened."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mark = secrets.token_hex(8)
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None
        self.left: list[leftovers.Leftover] = []

    @property
    def log(self) -> Path:
        return self.folder / "logs" / "workers.jsonl"

    @property
    def redis_url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def environment(self) -> dict[str, str]:
        """The workers' environment: nothing of the caller's own settings, everything inside `folder`."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
        return {
            **inherited,
            leftovers.MARK: self.mark,
            "REDIS_URL": self.redis_url,
            "REDIS_SERVER": str(find_redis_server()),
            "REDIS_PORT": str(self.port),
            "REDIS_DIR": str(self.folder / "redis"),
            "SUPERVISOR_PROGRAMS": "redis watcher provisioner uploader",
            "WORKER_NAME": "demo",
            "PROVISIONER_EXECUTOR": "local",
            "PROVISIONER_WORK_DIR": str(self.folder / "work"),
            "SPOOL_DIR": str(self.folder / "spool"),
            "SPOOL_MIN_FREE_MB": "50",
            "UPLOADER_SINK": "disk",
            "UPLOADER_DISK_DIR": str(self.folder / "audio"),
            # One machine, one user who waits: start at once.
            "WATCHER_BATCH_MIN": "1",
            "WATCHER_BATCH_MAX_WAIT": "1",
        }

    def start(self) -> None:
        """Start everything; returns once our own Redis answers. A port that somebody else took is chosen anew."""
        for _attempt in range(5):
            self.port = free_port()
            self._launch()
            if self._wait_for_redis():
                return
            self.stop()
            self._refuse_leftovers()
        raise DemoError(f"the demo's Redis does not start; see {self.folder / 'redis' / 'redis.log'}")

    def _launch(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                tied([sys.executable, "-P", "-m", "ops.supervisor"], os.getpid()),
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C stops the demo, and the demo stops these in order
            )

    def _wait_for_redis(self) -> bool:
        """Whether the Redis at our port is the one with our folder; False when it cannot be."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.alive():
            folder = redis_folder(self.port)
            if folder is not None:
                return folder == str((self.folder / "redis").resolve())
            time.sleep(0.05)
        return False

    def alive(self) -> bool:
        """Whether supervision still runs; it ends by itself when a program cannot be kept alive."""
        return self.process is not None and self.process.poll() is None

    def stop(self) -> None:
        """Stop everything in order, then see to it that nothing is left; safe to call twice."""
        process, self.process = self.process, None
        if process is None:
            return
        try:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        finally:
            self.left += leftovers.wait_gone(self.mark, LINGER_SECONDS)
            leftovers.kill(self.left)

    def _refuse_leftovers(self) -> None:
        if self.left:
            names = "; ".join(f"{one.pid} {one.command[:120]}" for one in self.left)
            raise DemoError(f"still running after the stop, and killed: {names}")

    def check_nothing_left(self) -> None:
        """Raise DemoError when a process of ours outlived the stop or our port is still taken."""
        self._refuse_leftovers()
        if not port_is_free(self.port):
            raise DemoError(f"port {self.port} is still taken after the stop")

    def __enter__(self) -> Line:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def redis_folder(port: int) -> str | None:
    """The data folder of the Redis at this port of the loopback; None while nothing there says it."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"CONFIG GET dir\r\n")
            answer = connection.recv(8192).decode(errors="replace").split("\r\n")
    except OSError:
        return None
    return answer[4] if answer[0] == "*2" and len(answer) > 4 else None


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Make the demo's folders, empty, and keep a second demo out; refuses a folder with things that no demo made."""
    marker = folder / MARKER
    if folder.exists() and not marker.exists() and any(folder.iterdir()):
        raise DemoError(f"{folder} holds other things; empty it or name another folder with DEMO_DIR=…")
    folder.mkdir(parents=True, exist_ok=True)
    with marker.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoError(f"another demo uses {folder}; wait for it, or name another with DEMO_DIR=…") from None
        for name in FOLDERS:
            empty(folder / name)
        yield


def empty(folder: Path) -> None:
    """Make `folder` an empty one."""
    if folder.is_symlink():
        raise DemoError(f"{folder} is a link; remove it")
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir()
