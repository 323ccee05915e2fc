"""What an executor that was killed with SIGKILL left running: the process group of the job it was at.

A process counts as left over when it works in this very folder and was told `--json-result`: no recorded process id is
trusted, for it may have been given out again. Needs /proc; elsewhere nothing is found.
"""

from __future__ import annotations

import os
import select
import signal
from pathlib import Path

WAIT_SECONDS = 5.0
MARK = b"--json-result"


def end_leftovers(folder: Path) -> int:
    """End the process groups of jobs at work in `folder`; return how many. The caller holds the folder's lock."""
    ended = 0
    for group, members in _groups(folder).items():
        descriptors = [descriptor for pid in members if (descriptor := _exit_descriptor(pid)) is not None]
        try:
            os.killpg(group, signal.SIGKILL)
            ended += 1
            for descriptor in descriptors:
                select.select([descriptor], [], [], WAIT_SECONDS)
        except (ProcessLookupError, PermissionError):  # over already, or another user's
            continue
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
    return ended


def _groups(folder: Path) -> dict[int, list[int]]:
    """Return the process groups at work in `folder`, each with the processes found."""
    groups: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(entry / "cwd") != os.fspath(folder):  # noqa: PTH115 - no Path for each process
                continue
            if MARK not in (entry / "cmdline").read_bytes().split(b"\0"):
                continue
            group = os.getpgid(int(entry.name))
        except OSError:  # ended meanwhile, or another user's
            continue
        if group != os.getpgrp():
            groups.setdefault(group, []).append(int(entry.name))
    return groups


def _exit_descriptor(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except (OSError, AttributeError):
        return None
