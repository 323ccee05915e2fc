"""Runs supervisord over the chosen programs: `./run supervisor`, and the entry point of a container.

Owns what the configuration files read from the environment, the way to standard output, passing signals on, and the
exit code: 0 after a stop that was asked for, 1 when a program could not be kept alive, else supervisord's own.
Refuses to know what the programs do.

SUPERVISOR_PROGRAMS        which of programs/*.conf run (default: "watcher provisioner uploader")
SUPERVISOR_RUN_DIR         pid file, control socket and supervisord's own log (default: a temporary folder)
SUPERVISOR_START_RETRIES   tries at a program that ends while starting, before all are stopped (default: 5)
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import BinaryIO

from ops.demo.tied import tied

HERE = Path(__file__).resolve().parent
DEFAULT_PROGRAMS = "watcher provisioner uploader"


def environment(run_dir: Path) -> dict[str, str]:
    """The environment of supervisord: ours, and what its configuration files read."""
    programs = os.environ.get("SUPERVISOR_PROGRAMS", DEFAULT_PROGRAMS).split()
    known = {path.stem for path in (HERE / "programs").glob("*.conf")}
    unknown = sorted(set(programs) - known)
    if unknown or not programs:
        raise SystemExit(
            f"supervisor: SUPERVISOR_PROGRAMS names {', '.join(unknown) or 'no program'};"
            f" there are {', '.join(sorted(known))}"
        )
    return {
        "SUPERVISOR_START_RETRIES": "5",
        **os.environ,
        "SUPERVISOR_RUN_DIR": str(run_dir),
        "SUPERVISOR_INCLUDE": " ".join(f"programs/{name}.conf" for name in programs),
        "JOB_RUNNER_PYTHON": sys.executable,
        "JOB_RUNNER_HOME": str(HERE.parent.parent),
    }


def copy_lines(source: BinaryIO) -> None:
    """Pass on what supervisord writes.

    It opens /dev/stdout anew for each program, which fails where that is a socket or another user's terminal; a pipe
    of our own can always be opened.
    """
    with source:
        for line in source:
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()


def wait_for(pid: int) -> int:
    """Wait until this child has ended, and reap any other that falls to us (we are process 1 in a container)."""
    while True:
        ended, status = os.wait()
        if ended == pid:
            return os.waitstatus_to_exitcode(status)


def main(arguments: Sequence[str] | None = None) -> int:
    """Start supervisord and stay until it ends."""
    parser = argparse.ArgumentParser(
        prog="supervisor",
        description="Keep watcher, provisioner and uploader running, restarted when needed. Settings: see "
        ".env.example; SUPERVISOR_PROGRAMS names fewer programs.",
    )
    parser.parse_args(arguments)
    given = os.environ.get("SUPERVISOR_RUN_DIR")
    with tempfile.TemporaryDirectory(prefix="job-runner-", ignore_cleanup_errors=True) as temporary:
        run_dir = Path(given or temporary).resolve()
        run_dir.mkdir(parents=True, exist_ok=True)
        fatal = run_dir / "fatal"
        fatal.unlink(missing_ok=True)
        code = supervise(run_dir)
        if fatal.exists():
            program = fatal.read_text(encoding="utf-8").strip()
            print(f"supervisor: {program} could not be kept alive; all programs were stopped", file=sys.stderr)
            return 1
        return code


def supervise(run_dir: Path) -> int:
    """Run supervisord in `run_dir`, pass SIGTERM and SIGINT on to it, and return its exit code."""
    command = [sys.executable, "-P", "-m", "supervisor.supervisord", "-c", str(HERE / "supervisord.conf")]
    process = subprocess.Popen(
        tied(command, os.getpid()),
        env=environment(run_dir),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C reaches it through us alone, so that it is asked once
    )

    def pass_on(_number: int, _frame: FrameType | None) -> None:
        process.send_signal(signal.SIGTERM)

    signal.signal(signal.SIGTERM, pass_on)
    signal.signal(signal.SIGINT, pass_on)
    assert process.stdout is not None
    copier = threading.Thread(target=copy_lines, args=(process.stdout,), daemon=True)
    copier.start()
    code = process.returncode = wait_for(process.pid)
    copier.join(timeout=5)
    return code
