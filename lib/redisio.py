"""The only module that imports redis: connections, scripts, and Redis's errors turned into ours. Holds no policy."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

from lib.errors import (
    InputError,
    JobRunnerError,
    QueueCorrupt,
    QueueFull,
    QueueRefused,
    QueueUnavailable,
)

Client = redis.Redis

# Redis 6.2 hides the code of an error inside a script behind "ERR Error running script … -CODE".
_CODE = re.compile(r"(?:^|[\s-])(OOM|READONLY|MISCONF|WRONGTYPE|NOGROUP|NOAUTH|NOPERM|WRONGPASS|NOREPLICAS)\b")
_WAITING = {
    "READONLY",
    "MISCONF",
    "NOGROUP",
    "NOREPLICAS",
    "LOADING",
    "MASTERDOWN",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "BUSY",
}
_REFUSED = {"NOAUTH", "NOPERM", "WRONGPASS", "DENIED"}


def connect(url: str, *, timeout_seconds: float = 10.0, connections: int = 32, retries: int = 3) -> Client:
    """Make a client; nothing is sent yet. `timeout_seconds` must exceed the longest BLOCK used on it.

    A command whose reply was lost is sent again, `retries` times: every script is safe to call twice.

    Raises:
        InputError: the URL cannot be read.
    """
    try:
        return redis.Redis.from_url(
            url,
            protocol=2,
            decode_responses=True,
            encoding_errors="surrogateescape",
            socket_timeout=timeout_seconds,
            socket_connect_timeout=min(timeout_seconds, 5.0),
            socket_keepalive=True,
            max_connections=connections,
            retry=Retry(ExponentialWithJitterBackoff(base=0.05, cap=1.0), retries),
        )
    except ValueError as error:
        raise InputError(
            f"REDIS_URL: {error}; write it as redis://[:PASSWORD@]HOST:PORT/DB (or rediss://, unix://)"
        ) from error


@contextmanager
def translated() -> Iterator[None]:
    """Turn redis-py's exceptions into ours."""
    try:
        yield
    except redis.exceptions.RedisError as error:
        raise _ours(error) from error
    except OSError as error:
        raise QueueUnavailable(f"Redis cannot be reached: {error}") from error


def _ours(error: redis.exceptions.RedisError) -> JobRunnerError:
    text = str(error)
    if isinstance(error, redis.exceptions.AuthenticationError | redis.exceptions.AuthenticationWrongNumberOfArgsError):
        return QueueRefused(f"Redis refuses the login: {text}; put the password into REDIS_URL")
    if isinstance(error, redis.exceptions.OutOfMemoryError):
        return QueueFull(f"Redis is at its memory limit: {text}")
    if isinstance(error, redis.exceptions.ConnectionError | redis.exceptions.TimeoutError):
        return QueueUnavailable(f"Redis cannot be reached: {text}")
    found = _CODE.search(text)
    code = found.group(1) if found else text.split(" ", 1)[0]
    if isinstance(error, redis.exceptions.NoPermissionError) or code in _REFUSED:
        return QueueRefused(f"Redis refuses: {text}")
    if code == "OOM":
        return QueueFull(f"Redis is at its memory limit: {text}")
    if isinstance(error, redis.exceptions.ReadOnlyError) or code in _WAITING:
        return QueueUnavailable(f"Redis cannot do this now: {text}")
    return QueueCorrupt(f"Redis answered: {text}")


class Scripts:
    """The Lua scripts of one folder, each sent by its hash, and loaded again after Redis forgot it."""

    def __init__(self, client: Client, folder: Path) -> None:
        self._client = client
        self._common = (folder / "_common.lua").read_text(encoding="utf-8") if (folder / "_common.lua").exists() else ""
        self._folder = folder
        self._loaded: dict[str, Any] = {}

    def call(self, name: str, keys: Sequence[str], args: Sequence[str | int | float]) -> Any:
        """Run `<name>.lua`. Answers are strings, ints, or lists of them."""
        script = self._loaded.get(name)
        if script is None:
            source = (self._folder / f"{name}.lua").read_text(encoding="utf-8")
            uses_common = "KEYS[1..14] the job keys" in source
            script = self._client.register_script(self._common + source if uses_common else source)
            self._loaded[name] = script
        with translated():
            return script(keys=keys, args=args)
