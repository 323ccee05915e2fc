"""Running `job-runner`: as a real process, on a terminal of its own, or inside the test.

Owns the environment such a run gets: nothing of ours leaks in from outside. Refuses to interpret what comes out.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
OURS = (
    *("REDIS_URL", "REDIS_URL_FILE", "KEY_PREFIX", "WATCHER_LEASE_IDLE_MS", "REDIS_TIMEOUT_SECONDS"),
    *("PUSHGATEWAY_URL", "JOB_RUNNER_METRICS_TEXTFILE", "JOB_RUNNER_CACHE", "COLUMNS", "NO_COLOR"),
)


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """What it printed with --json: exactly one object."""
        return dict(json.loads(self.out))


def environment(**more: str) -> dict[str, str]:
    """The environment of a run: this process's, without settings of ours, with `more`."""
    return {**{key: value for key, value in os.environ.items() if key not in OURS}, "PYTHONPATH": str(ROOT), **more}


def job_runner(*arguments: str, cwd: Path | None = None, timeout: float = 60, **env: str) -> Ran:
    """Run it as a process without a terminal."""
    done = subprocess.run(
        [sys.executable, "-m", "cli", *arguments],
        env=environment(**env),
        cwd=cwd or ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def job_runner_on_terminal(*arguments: str, answer: str = "", **env: str) -> Ran:
    """Run it as a process on a terminal and type `answer` once it asks; `out` is all that the terminal showed."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "cli", *arguments],
        env=environment(TERM="xterm", **env),
        cwd=ROOT,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        shown = _talk(ours, answer, time.monotonic() + 60)
        code = process.wait(timeout=30)
    os.close(ours)
    return Ran(code, shown.replace("\r\n", "\n"), "")


def _talk(terminal: int, answer: str, deadline: float) -> str:
    shown = b""
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], 0.2)[0]:
            continue
        try:
            data = os.read(terminal, 65536)
        except OSError:  # the other side is closed
            break
        if not data:
            break
        shown += data
        if answer and b"[y/N]" in shown:
            os.write(terminal, answer.encode())
            answer = ""
    return shown.decode(errors="replace")


def job_runner_inside(*arguments: str, env: Mapping[str, str] | None = None) -> Ran:
    """Run it in this process, which is quicker, with output captured and no terminal."""
    from cli.main import main

    before = dict(os.environ)
    out, err = io.StringIO(), io.StringIO()
    stdin, sys.stdin = sys.stdin, io.StringIO()
    os.environ.clear()
    os.environ.update(environment(**(env or {})))
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(arguments)
    finally:
        os.environ.clear()
        os.environ.update(before)
        sys.stdin = stdin
    return Ran(code, out.getvalue(), err.getvalue())
