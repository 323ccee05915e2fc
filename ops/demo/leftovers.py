"""Finds and ends processes by a mark in the environment that they inherited.

Owns the proof that nothing keeps running: a detached grandchild is found as well as a child. Refuses to touch any
process without the mark. Reads /proc, and finds nothing where there is none.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

MARK = "JOB_RUNNER_DEMO_RUN"


@dataclass(frozen=True)
class Leftover:
    """A process that still runs."""

    pid: int
    command: str


def find(mark: str) -> list[Leftover]:
    """The running processes of this user that carry `mark`."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                found.append(Leftover(int(folder.name), command))
        except OSError:
            continue  # it ended meanwhile, or is another user's
    return found


def wait_gone(mark: str, seconds: float) -> list[Leftover]:
    """Give the processes that carry `mark` some time to end; return those that did not."""
    deadline = time.monotonic() + seconds
    while True:
        left = find(mark)
        if not left or time.monotonic() >= deadline:
            return left
        time.sleep(0.05)


def kill(left: list[Leftover]) -> None:
    """End these at once."""
    for one in left:
        try:
            os.kill(one.pid, signal.SIGKILL)
        except ProcessLookupError:
            continue  # it ended by itself
