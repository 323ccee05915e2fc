"""One child process in a process group of its own: its logs, its deadline, and the end of all it started.

Whatever happens, nothing of the group is left when `run_child` returns or raises. Refuses to let a chatty child fill
the disk: each log is cut at a bound.
"""

from __future__ import annotations

import os
import select
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Stop(Protocol):
        """What may end a child early: a threading.Event, or several things in one."""

        def is_set(self) -> bool:
            """Whether to end it now."""


MAX_LOG_BYTES = 1024 * 1024
GRACE_SECONDS = 2.0
LOOK_EVERY_SECONDS = 0.1
CHUNK_BYTES = 64 * 1024
LAST_CHUNKS = 64  # more than two pipes hold

EXITED, DEADLINE, STOPPED = "exited", "deadline", "stopped"


class Ended:
    """How a child ended. `exit_code` is negative for a signal."""

    __slots__ = ("exit_code", "how", "seconds")

    def __init__(self, how: str, exit_code: int | None, seconds: float) -> None:
        self.how = how
        self.exit_code = exit_code
        self.seconds = seconds


def run_child(
    argv: Sequence[str],
    *,
    cwd: Path,
    environment: Mapping[str, str],
    logs: tuple[Path, Path],
    deadline_seconds: float,
    stop: Stop,
    on_start: Callable[[int], None],
) -> Ended:
    """Run `argv` to its end, its deadline or `stop`. Raises OSError where it cannot be started."""
    started = time.monotonic()
    with _Log(logs[0]) as stdout_log, _Log(logs[1]) as stderr_log:
        child = subprocess.Popen(
            list(argv),
            cwd=cwd,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        assert child.stdout is not None
        assert child.stderr is not None
        with child.stdout, child.stderr:
            watch = _Watch(child, {child.stdout: stdout_log, child.stderr: stderr_log})
            try:
                on_start(child.pid)
                how = watch.until(started + deadline_seconds, stop)
            finally:
                watch.end_group()
    return Ended(how, child.returncode, time.monotonic() - started)


class _Watch:
    """Follows one child: copies what it says, sees it exit, ends its group."""

    def __init__(self, child: subprocess.Popen[bytes], logs: dict[IO[bytes], _Log]) -> None:
        self._child = child
        self._selector = selectors.DefaultSelector()
        for stream, log in logs.items():
            os.set_blocking(stream.fileno(), False)
            self._selector.register(stream, selectors.EVENT_READ, log)
        self._exit_descriptor = _open_exit_descriptor(child.pid)
        if self._exit_descriptor is not None:
            self._selector.register(self._exit_descriptor, selectors.EVENT_READ, None)

    def until(self, deadline: float, stop: Stop) -> str:
        """Wait for the exit, the deadline (monotonic) or `stop`, whichever comes first."""
        while not self._exited():
            if stop.is_set():
                return STOPPED
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return DEADLINE
            self._copy(min(LOOK_EVERY_SECONDS, remaining))
        return EXITED

    def end_group(self) -> None:
        """End the child and all of its group: politely for two seconds, then at once."""
        if not self._exited():
            self._signal_group(signal.SIGTERM)
            patience = time.monotonic() + GRACE_SECONDS
            while not self._exited() and (remaining := patience - time.monotonic()) > 0:
                self._copy(min(LOOK_EVERY_SECONDS, remaining))
        self._signal_group(signal.SIGKILL)  # before the child is reaped: its id cannot belong to another group yet
        self._child.wait()
        for _ in range(LAST_CHUNKS):  # what it said last; one that left the group may go on talking for ever
            if not self._copy(0):
                break
        self._selector.close()
        if self._exit_descriptor is not None:
            os.close(self._exit_descriptor)

    def _exited(self) -> bool:
        """Tell whether the child is over, without reaping it where the system allows that."""
        if self._child.returncode is not None:
            return True
        if hasattr(os, "waitid"):
            return os.waitid(os.P_PID, self._child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        return self._child.poll() is not None

    def _signal_group(self, number: signal.Signals) -> None:
        try:
            os.killpg(self._child.pid, number)
        except (ProcessLookupError, PermissionError):  # nobody is left in the group (macOS says the latter)
            return

    def _copy(self, seconds: float) -> bool:
        """Copy what the child said within `seconds` to its logs; tell whether there was anything."""
        copied = False
        for key, _ in self._selector.select(seconds):
            if key.data is None:
                continue
            data = os.read(key.fd, CHUNK_BYTES)
            if data:
                copied = True
                key.data.write(data)
            else:
                self._selector.unregister(key.fileobj)
        return copied


def _open_exit_descriptor(pid: int) -> int | None:
    """Return a descriptor that becomes readable when the child exits; None where the system has none."""
    if not hasattr(os, "pidfd_open") or not hasattr(select, "epoll"):
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:  # an old kernel or a sandbox: looking every 100 ms serves too
        return None


class _Log:
    """A log file that stops growing at a bound, and that never fails a job: a full disk costs the log only."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._left = MAX_LOG_BYTES
        self._file: IO[bytes] | None = None

    def __enter__(self) -> _Log:
        self._file = self._path.open("wb", buffering=0)
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, data: bytes) -> None:
        """Append `data` while there is room."""
        if self._file is None or self._left <= 0:
            return
        kept = data[: self._left]
        self._left -= len(kept)
        if self._left == 0:
            kept += b"\n[the rest of this log was cut]\n"
        try:
            self._file.write(kept)
        except OSError:
            self._file.close()
            self._file = None
