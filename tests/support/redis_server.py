"""Real Redis servers for tests: each has a port and a folder of its own, and dies with the test process.

Owns starting, pausing, crashing and stopping them, and how many versions there are (`redis_binaries`).
Refuses to know any other server: `RedisServer` only ever talks to the process it started.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import redis

from ops.demo.redis_binary import (
    answers_ping,
    find_redis_server,
    free_port,
    packaged_redis_server,
    redis_version,
    server_arguments,
)
from ops.demo.tied import tied
from tests.support.wait import wait_until


def redis_binaries() -> dict[str, Path]:
    """By name: `oldest` (6.2, from the wheel), and `newest` where PATH has another version."""
    packaged, found = packaged_redis_server(), find_redis_server()
    if packaged is None or redis_version(packaged) == redis_version(found):
        return {"oldest": found}
    return {"oldest": packaged, "newest": found}


class RedisServer:
    """A server process. `options` are those of redis.conf, with underscores: `maxmemory="2mb"`.

    Its append-only file is on but not fsynced: that outlives any kill of the process, which is all a test can
    do to it, and costs no time. Give `appendfsync="always"` to test what is shipped.
    """

    def __init__(self, binary: Path, folder: Path, options: Mapping[str, str] | None = None) -> None:
        self.binary = binary
        self.folder = folder
        self.options = {"appendfsync": "no", **{k.replace("_", "-"): v for k, v in (options or {}).items()}}
        self.version = redis_version(binary)
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        password = self.options.get("requirepass")
        return f"redis://{':' + password + '@' if password else ''}127.0.0.1:{self.port}/0"

    def client(self, **options: object) -> redis.Redis:
        """A client for the test's own looking; close it, or use it in a `with`."""
        return redis.Redis.from_url(self.url, decode_responses=True, **options)

    def start(self) -> RedisServer:
        """Start it, at the port it had before when this is a restart; returns once it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for _attempt in range(5):
            self.port = self.port or free_port()
            if self._start_once():
                return self
            self.port = 0
        raise AssertionError(f"redis-server does not start, see {self._log}: {self._log.read_text()[-2000:]}")

    @property
    def _log(self) -> Path:
        return self.folder / "redis.log"

    def _start_once(self) -> bool:
        command = server_arguments(self.binary, self.port, self.folder)
        for name, value in self.options.items():
            command += [f"--{name}", value]
        with self._log.open("ab") as log:
            self.process = process = subprocess.Popen(
                tied(command, os.getpid(), signal.SIGKILL), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        wait_until(
            lambda: process.poll() is not None or answers_ping(self.port),
            every=0.005,
            what="redis-server answers PING",
        )
        return process.poll() is None

    def restart(self) -> None:
        """Stop it cleanly and start it on the same port, with the data it had."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Stop it from answering (SIGSTOP): connections stay, nothing comes back."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """Crash it (SIGKILL)."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Shut it down (SIGTERM); safe when it is already gone."""
        self._end(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        assert self.process is not None, "this server was not started"
        self.process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        process.send_signal(number)
        process.send_signal(signal.SIGCONT)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=10)

    def wipe(self) -> None:
        """Empty it, lift a memory limit and forget its scripts, so that the next test starts clean."""
        with self.client() as client:
            client.config_set("maxmemory", "0")
            client.flushall()
            client.script_flush()
            client.config_resetstat()

    def __enter__(self) -> RedisServer:
        return self.start()

    def __exit__(self, _t: type[BaseException] | None, _v: BaseException | None, _tb: TracebackType | None) -> None:
        self.stop()
