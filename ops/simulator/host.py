"""One box of the simulator: a folder, a keeper process, an OpenSSH server and two ports.

Owns the box's files (home, host keys, accepted keys), its processes through its keeper, and its links. It refuses to
know states, time or money: `lifecycle` says when to start, stop and break it.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ops.simulator.link import HANG_UP, OPEN, REFUSE, Link
from ops.simulator.tools import BANNER, NVIDIA_SMI, SHELL, SSHD_CONFIG, Tools, mounted_home

_KEEPER = Path(__file__).with_name("keeper.py")
_READY_SECONDS = 20.0
_END_SECONDS = 20.0


class BoxHost:
    """The machine behind one instance."""

    def __init__(self, folder: Path, tools: Tools, count: Callable[[str, int], None]) -> None:
        self.folder = folder
        self.marker = f"{folder.name}-{secrets.token_hex(8)}"
        self.log = folder / "container.log"
        self._tools = tools
        self._count = count
        self._keeper: subprocess.Popen[bytes] | None = None
        self._ready = threading.Event()
        self._lock = threading.Lock()
        self._last_run = 0
        self._waiting: dict[int, Callable[[int], None]] = {}
        self._keys: list[str] = []
        for name in ("home/.ssh", "bin", "etc/ssh", "hidden"):
            (folder / name).mkdir(parents=True)
        (folder / "home/.ssh").chmod(0o700)
        (folder / "etc/environment").touch()
        (folder / "etc/ssh/banner").write_text(BANNER)
        (folder / "etc/passwd").write_text(f"root:x:{os.getuid()}:{os.getgid()}:root:{folder}/home:/bin/bash\n")
        self.log.touch()
        self._script("box-shell", SHELL.format(box=folder))
        self._script("nvidia-smi", NVIDIA_SMI.format(python=sys.executable))
        self.set_keys([])
        self.new_host_key()
        self.direct = Link("127.0.0.1", folder / "sshd.sock", count)
        self.proxy = Link("127.0.0.1", folder / "sshd.sock", count)
        self.proxy.set_mode(HANG_UP)

    def start(self, home_bytes: int | None = None, on_death: Callable[[], None] | None = None) -> None:
        """Start the keeper, with a home of `home_bytes` if given; raises RuntimeError when it does not come up."""
        argv = [sys.executable, "-I", "-S", str(_KEEPER), str(self.folder)]
        if home_bytes is not None:
            argv = [*mounted_home(home_bytes), str(self.folder), *argv]
        environment = {**self._environment({}), "VAST_SIMULATOR_BOX": self.marker}
        (self.folder / "sshd.sock").unlink(missing_ok=True)
        self._ready.clear()
        keeper = subprocess.Popen(
            argv, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._keeper = keeper
        threading.Thread(target=self._listen, args=(keeper, on_death), daemon=True).start()
        if not self._ready.wait(_READY_SECONDS):
            raise RuntimeError(f"the keeper of {self.folder.name} did not start")

    def run(self, argv: Sequence[str], environment: Mapping[str, str], log: Path, done: Callable[[int], None]) -> None:
        """Run a command in the home, its output appended to `log`; `done` gets its exit status."""
        with self._lock:
            self._last_run += 1
            number = self._last_run
            self._waiting[number] = done
        command = {"do": "run", "id": number, "argv": list(argv), "env": self._environment(environment)}
        self._tell({**command, "folder": str(self.folder / "home"), "log": str(log)})

    def on_the_box(self, text: str) -> str:
        """A script with the paths that belong to a container replaced by this box's own."""
        text = text.replace("/etc/ssh/ssh_host_", f"{self.folder}/etc/ssh/ssh_host_")
        return text.replace("/etc/environment", f"{self.folder}/etc/environment")

    def serve_ssh(self, wrong_key: bool = False) -> None:
        """Answer SSH from now on, with the box's host key or with another machine's."""
        key = self.folder / "etc/ssh/ssh_host_ed25519_key"
        if wrong_key:
            key = self.folder / "hidden/ssh_host_ed25519_key"
            if not key.exists():
                self._make_key(key)
        subsystem = f"Subsystem sftp {self._tools.sftp_server}\n" if self._tools.sftp_server else ""
        config = self.folder / "hidden/sshd_config"
        config.write_text(SSHD_CONFIG.format(key=key, box=self.folder, marker=self.marker, subsystem=subsystem))
        environment = self._environment({})
        if self._tools.nss_wrapper:
            environment |= {
                "LD_PRELOAD": self._tools.nss_wrapper,
                "NSS_WRAPPER_PASSWD": str(self.folder / "etc/passwd"),
                "NSS_WRAPPER_GROUP": "/etc/group",
            }
        argv = [self._tools.sshd, "-i", "-f", str(config), "-E", str(self.folder / "hidden/sshd.log")]
        self._tell({"do": "sshd", "argv": argv, "env": environment})

    def set_keys(self, keys: Sequence[str]) -> None:
        """Accept exactly these keys, beside those the box itself has written into its home."""
        self._keys = list(keys)
        aside = self.folder / "hidden/authorized_keys"
        aside.write_text("".join(f"{key}\n" for key in keys))
        aside.chmod(0o600)
        aside.rename(self.folder / "etc/ssh/authorized_keys")

    def lose_keys(self) -> None:
        """Accept no key any more, the box's own included."""
        self.set_keys([])
        own = self.folder / "home/.ssh/authorized_keys"
        if own.exists():
            own.write_text("")

    def new_host_key(self) -> None:
        """Make the box's host key, or put another one in its place while sshd answers."""
        aside, key = self.folder / "hidden/new_host_key", self.folder / "etc/ssh/ssh_host_ed25519_key"
        self._make_key(aside)
        aside.rename(key)
        aside.with_suffix(".pub").rename(key.with_suffix(".pub"))

    def set_gpu(self, gpu: Mapping[str, Any]) -> None:
        """Say what `nvidia-smi` answers on the box."""
        aside = self.folder / "hidden/gpu.json"
        aside.write_text(json.dumps(dict(gpu)))
        aside.rename(self.folder / "bin/gpu.json")

    def open_links(self, direct: str = OPEN, proxy: str = OPEN) -> None:
        """Set how both ports behave."""
        self.direct.set_mode(direct)
        self.proxy.set_mode(proxy)

    def new_direct_port(self) -> None:
        """Give the direct port up for another one. Only while stopped."""
        former = self.direct
        self.direct = Link("127.0.0.1", self.folder / "sshd.sock", self._count)
        former.close()

    def stop(self) -> None:
        """End every process of the box; its files and ports stay."""
        self.open_links(REFUSE, HANG_UP)
        keeper, self._keeper = self._keeper, None
        if keeper is None:
            return
        self._tell({"do": "end"}, keeper)
        try:
            keeper.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            keeper.kill()
            keeper.wait()
        self._end_marked()

    def destroy(self) -> None:
        """End every process of the box and take away its ports and files."""
        self.stop()
        self.direct.close()
        self.proxy.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def recreate_home(self) -> None:
        """Empty the home and change the host key, as a container made anew has them. Only while stopped."""
        shutil.rmtree(self.folder / "home")
        (self.folder / "home/.ssh").mkdir(parents=True, mode=0o700)
        (self.folder / "etc/environment").write_text("")
        self.new_host_key()

    def _environment(self, extra: Mapping[str, str]) -> dict[str, str]:
        path = f"{self.folder}/bin:{os.environ.get('PATH', os.defpath)}"
        own = {"HOME": str(self.folder / "home"), "PATH": path, "LANG": "C.UTF-8", "USER": self._tools.login}
        return {**own, "SHELL": "/bin/bash", **extra, "VAST_SIMULATOR_BOX": self.marker}

    def _script(self, name: str, text: str) -> None:
        file = self.folder / "bin" / name
        file.write_text(text)
        file.chmod(0o755)

    def _make_key(self, key: Path) -> None:
        argv = [
            self._tools.ssh_keygen,
            "-q",
            "-t",
            "ed25519",
            "-N",
            "",
            "-C",
            f"root@{self.folder.name}",
            "-f",
            str(key),
        ]
        subprocess.run(argv, check=True, capture_output=True, stdin=subprocess.DEVNULL)

    def _tell(self, command: Mapping[str, Any], keeper: subprocess.Popen[bytes] | None = None) -> None:
        keeper = keeper or self._keeper
        if keeper is None or keeper.stdin is None:
            return
        line = json.dumps(dict(command)).encode() + b"\n"
        with self._lock, contextlib.suppress(OSError):  # it may have died: its listener notices
            keeper.stdin.write(line)
            keeper.stdin.flush()

    def _listen(self, keeper: subprocess.Popen[bytes], on_death: Callable[[], None] | None) -> None:
        assert keeper.stdout is not None
        for line in keeper.stdout:
            answer = json.loads(line)
            if answer.get("ready"):
                self._ready.set()
            elif "exited" in answer:
                with self._lock:
                    done = self._waiting.pop(answer["exited"], None)
                if done is not None:
                    done(int(answer["status"]))
        keeper.wait()
        keeper.stdout.close()
        if self._keeper is keeper and on_death is not None:
            on_death()

    def _end_marked(self) -> None:
        """Kill what still carries the box's mark: only there when the keeper itself was killed."""
        for pid in marked_processes(self.marker):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)


def marked_processes(marker: str) -> list[int]:
    """Processes whose environment holds the mark of a box."""
    wanted = f"VAST_SIMULATOR_BOX={marker}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return found
