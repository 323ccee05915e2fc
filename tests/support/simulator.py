"""A simulated marketplace for tests: the real program on a free port, its clients, and SSH into its boxes.

It dies with the test process. Boxes boot at once and nothing is paced unless the test says otherwise.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ops.demo.tied import tied
from tests.support.wait import wait_until

ROOT = Path(__file__).resolve().parents[2]
AT_ONCE = {
    "null_seconds": 0, "created_seconds": 0, "loading_seconds": 0, "ports_seconds": 0, "sshd_seconds": 0,
    "key_seconds": 0,
}  # fmt: skip


class Simulator:
    """One running `./run simulator`."""

    def __init__(self, folder: Path, **scenario: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.state_folder = folder / "state"
        file = folder / "scenario.yaml"
        file.write_text(yaml.safe_dump({"boot": AT_ONCE, "pacing": False, **scenario}))
        program = [sys.executable, "-P", "-m", "ops.simulator", "--port", "0", "--scenario", str(file)]
        self.process = subprocess.Popen(
            tied([*program, "--folder", str(self.state_folder)], os.getpid()),
            cwd=ROOT, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        ready = self.process.stdout.readline()
        assert "ready" in ready, ready
        self.url = ready.split("VAST_URL=")[1].split()[0]
        self.api_key = ready.split("VAST_API_KEY=")[1].split()[0]
        self.key = folder / "id"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.key)], check=True)
        self.public_key = self.key.with_suffix(".pub").read_text().strip()

    def __enter__(self) -> Simulator:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def sdk(self, retry: int = 1) -> Any:
        """The unmodified SDK."""
        from vastai import VastAI

        return VastAI(api_key=self.api_key, server_url=self.url, retry=retry)

    def cli(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run the unmodified CLI."""
        home = self.folder / "cli-home"
        home.mkdir(exist_ok=True)
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(home), "VAST_URL": self.url, "VAST_API_KEY": self.api_key,
            "VASTAI_NO_UPDATE_CHECK": "1", "NO_PROXY": "127.0.0.1", "COLUMNS": "200", "NO_COLOR": "1",
        }  # fmt: skip
        program = Path(sys.executable).parent / "vastai"
        return subprocess.run(
            [sys.executable, str(program), *arguments],
            env=environment, input=stdin, capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None, key: str | None = None) -> Any:
        """One request; returns status and data."""
        request = urllib.request.Request(self.url + path, method=method)
        request.add_header("Content-Type", "application/json")
        if key != "":
            request.add_header("Authorization", f"Bearer {key or self.api_key}")
        data = None if method == "GET" else json.dumps(dict(body or {})).encode()
        try:
            with urllib.request.urlopen(request, data, timeout=20) as reply:
                return reply.status, json.loads(reply.read())
        except urllib.error.HTTPError as error:
            with error:
                status, text = error.code, error.read().decode()
        return status, json.loads(text) if text.startswith("{") else text

    def state(self) -> dict[str, Any]:
        """What the simulator itself knows."""
        state: dict[str, Any] = self.call("GET", "/simulator")[1]
        return state

    def fault(self, fault: str, /, **fields: Any) -> None:
        """Put a rule in force."""
        status, answer = self.call("POST", "/simulator/faults", {"fault": fault, **fields})
        assert status == 200, answer

    def cause(self, box: int, fault: str, /, **fields: Any) -> None:
        """Cause a fault on a box, now."""
        status, answer = self.call("POST", f"/simulator/boxes/{box}/faults", {"fault": fault, **fields})
        assert status == 200, answer

    def no_faults(self) -> None:
        """Take every rule out of force."""
        self.call("DELETE", "/simulator/faults")

    def rent(self, **fields: Any) -> int:
        """Rent the cheapest free machine; returns the instance."""
        body = {"image": "image:1", "disk": 10, "runtype": "ssh_direc ssh_proxy", "cancel_unavail": True, **fields}
        status, answer = self.call("PUT", f"/api/v0/asks/{self.offer()['id']}/", body)
        assert status == 200, answer
        return int(answer["new_contract"])

    def offer(self) -> dict[str, Any]:
        """The cheapest free machine."""
        query = {"rentable": {"eq": True}, "order": [["dph_total", "asc"]], "limit": 1}
        offers: list[dict[str, Any]] = self.call("POST", "/api/v0/bundles/", query)[1]["offers"]
        return offers[0]

    def row(self, box: int) -> dict[str, Any]:
        """The row of an instance, as the API shows it."""
        row: dict[str, Any] = self.call("GET", f"/api/v0/instances/{box}/")[1]["instances"]
        return row

    def ready(self, box: int) -> int:
        """Attach our key and wait until the box accepts it; returns its direct port."""
        self.call("POST", f"/api/v0/instances/{box}/ssh/", {"ssh_key": self.public_key})
        wait_until(lambda: self.box(box)["keys_accepted"], what="the box accepts keys")
        return int(self.box(box)["direct_port"])

    def box(self, box: int) -> dict[str, Any]:
        """What the simulator itself knows of a box."""
        return next(one for one in self.state()["boxes"] if one["id"] == box)

    def ssh(self, port: int, command: str, *options: str, timeout: float = 15) -> subprocess.CompletedProcess[str]:
        """Run a command on a box."""
        return subprocess.run(
            ["ssh", *options, *self.ssh_options(), "-p", str(port), f"{self.state()['ssh_user']}@127.0.0.1", command],
            capture_output=True, text=True, timeout=timeout, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def ssh_options(self) -> list[str]:
        """Options that keep ssh from reading or asking anything of ours."""
        pairs = ("BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR")
        return ["-F", "none", "-i", str(self.key), *(word for pair in pairs for word in ("-o", pair))]

    def destroy(self, box: int) -> None:
        """End a box, which must be there."""
        status, answer = self.call("DELETE", f"/api/v0/instances/{box}/")
        assert status == 200, answer


def processes_with(text: str) -> list[int]:
    """Processes whose command line holds this text."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if text.encode() in words and int(entry.name) != os.getpid():
                found.append(int(entry.name))
    return found


def own_seconds() -> int:
    """A number of seconds for `sleep` by which a test knows its own process, whatever runs beside it."""
    return random.randrange(10_000_000, 99_999_999) * 10
