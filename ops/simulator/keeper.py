"""The first process of one box, run as `python -I -S keeper.py FOLDER`: parent of everything that happens on it.

Owns the box's processes: as their subreaper it stays the ancestor of whatever they start, detached or not, and ends
them all when told to, or when its standard input closes, which the kernel does for it when the simulator dies by
whatever means. It starts an sshd for each connection to its Unix socket and the commands it is told to run. It imports
nothing of this project and uses no thread, so that it starts fast and forks safely.

Commands, one JSON object a line: {"do": "run", "id": 1, "argv": […], "env": {…}, "folder": "…", "log": "…"},
{"do": "sshd", "argv": […], "env": {…}}, {"do": "end"} (which keeps
the files; a closed input removes them). Answers: {"exited": 1, "status": 0}, {"ready": true}.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import time
from typing import Any

_PR_SET_CHILD_SUBREAPER = 36
_MNT_DETACH = 2


def main() -> None:
    """Serve one box until told to end."""
    folder = sys.argv[1]
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        sys.exit("the kernel offers no child subreaper")
    os.setsid()
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    box = Box(folder)
    box.serve()
    end_descendants()
    # The home may be a mount of its own (a disk of a given size), which must go before its folder can.
    libc.umount2(os.path.join(folder, "home").encode(), _MNT_DETACH)  # noqa: PTH118
    if not box.keep_files:
        shutil.rmtree(folder, ignore_errors=True)


class Box:
    """What the loop knows: how to answer a connection and which commands run."""

    def __init__(self, folder: str) -> None:
        # Kept until reaped: a dropped Popen reaps its child itself and takes the exit status with it.
        self._children: dict[int, tuple[subprocess.Popen[bytes], int | None]] = {}
        self._sshd: dict[str, Any] | None = None
        self._selector = selectors.DefaultSelector()
        self._unread = b""
        self._ended = False
        self.keep_files = False
        os.chdir(folder)  # a Unix socket's path must be short
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind("sshd.sock")
        self._listener.listen(64)
        self._wake, self._woken = socket.socketpair()
        for one in (self._wake, self._woken):
            one.setblocking(False)

    def serve(self) -> None:
        """Answer until the input closes or says to end."""
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(self._woken.fileno(), warn_on_full_buffer=False)
        self._selector.register(0, selectors.EVENT_READ, self._read_commands)
        self._selector.register(self._listener, selectors.EVENT_READ, self._answer_connection)
        self._selector.register(self._wake, selectors.EVENT_READ, self._reap)
        say({"ready": True})
        while not self._ended:
            for key, _events in self._selector.select():
                key.data()

    def _read_commands(self) -> None:
        block = os.read(0, 65536)
        if not block:
            self._ended = True
            return
        *lines, self._unread = (self._unread + block).split(b"\n")
        for line in lines:
            self._obey(json.loads(line))

    def _obey(self, command: dict[str, Any]) -> None:
        if command["do"] == "end":
            self._ended = self.keep_files = True
        elif command["do"] == "sshd":
            self._sshd = command if command["argv"] else None
        elif command["do"] == "run":
            try:
                with open(command["log"], "ab") as log:  # noqa: PTH123
                    process = subprocess.Popen(
                        command["argv"], env=command["env"], cwd=command["folder"], stdin=subprocess.DEVNULL,
                        stdout=log, stderr=log, start_new_session=True,
                    )  # fmt: skip
            except OSError as error:
                say({"exited": command["id"], "status": 127, "error": str(error)})
                return
            self._children[process.pid] = (process, command["id"])

    def _answer_connection(self) -> None:
        connection, _address = self._listener.accept()
        with connection:
            if self._sshd is not None:
                process = subprocess.Popen(
                    self._sshd["argv"], env=self._sshd["env"], stdin=connection.fileno(), stdout=connection.fileno(),
                    stderr=subprocess.DEVNULL, start_new_session=True,
                )  # fmt: skip
                self._children[process.pid] = (process, None)

    def _reap(self) -> None:
        while self._drain():
            pass
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            process, command = self._children.pop(pid, (None, None))
            if process is not None:
                process.returncode = os.waitstatus_to_exitcode(status)
            if process is not None and command is not None:
                say({"exited": command, "status": process.returncode})

    def _drain(self) -> bool:
        try:
            return bool(self._wake.recv(4096))
        except BlockingIOError:
            return False


def say(answer: dict[str, Any]) -> None:
    """Answer the simulator, if it still listens."""
    with contextlib.suppress(OSError):  # it may have died: the closed input ends us
        os.write(1, json.dumps(answer).encode() + b"\n")


def end_descendants() -> None:
    """Kill every process below this one, those that appear meanwhile too, and reap them."""
    while True:
        below = descendants()
        for pid in below:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        if below:
            time.sleep(0.005)


def descendants() -> list[int]:
    """The pids of all processes below this one."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123
                    parent = int(file.read().rpartition(b")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(name))
    found: list[int] = []
    waiting = [os.getpid()]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


if __name__ == "__main__":
    main()
