"""The only module that imports redis: connections, scripts, and Redis's errors turned into ours. Holds no policy."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

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
    "UNBLOCKED",  # a failover, while we waited for an entry
    "NOREPLICAS",
    "LOADING",
    "MASTERDOWN",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "BUSY",
}
_NOT_NOW = (  # redis-py strips the code from the text of these
    redis.exceptions.ReadOnlyError,
    redis.exceptions.ClusterDownError,  # MasterDownError is one
    redis.exceptions.TryAgainError,
    redis.exceptions.AskError,  # MovedError is one: another node of the cluster has the keys now
)
_REFUSED = {"NOAUTH", "NOPERM", "WRONGPASS", "DENIED"}


def connect(url: str, *, timeout_seconds: float = 10.0, connections: int = 32, retries: int = 3) -> Client:
    """Make a client; nothing is sent yet. `timeout_seconds` must exceed the longest BLOCK used on it.

    A command whose reply was lost is sent again, `retries` times: every script is safe to call twice.

    Raises:
        InputError: the URL cannot be read.
    """
    url = url.strip()
    problem = _url_problem(url)
    if problem:
        raise InputError(f"REDIS_URL: {problem}; {_URL_FORM}")
    options: dict[str, Any] = {} if url.startswith("unix:") else {"socket_keepalive": True}
    try:
        client = redis.Redis.from_url(
            url,
            protocol=2,
            decode_responses=True,
            encoding_errors="surrogateescape",
            socket_timeout=timeout_seconds,
            socket_connect_timeout=min(timeout_seconds, 5.0),
            max_connections=connections,
            retry=Retry(ExponentialWithJitterBackoff(base=0.05, cap=1.0), retries),
            **options,
        )
        # Made and thrown away: an option in the URL that no connection knows is found here, not at the first command.
        client.connection_pool.make_connection()
    except (ValueError, TypeError, redis.exceptions.RedisError) as error:
        raise InputError(f"REDIS_URL: {error}; {_URL_FORM}") from error
    return client


_URL_FORM = (
    "write it as redis://[[USER]:PASSWORD@]HOST:PORT/DB (or rediss://, unix://PATH), "
    "with %40, %23 and %2F for @, # and / inside a password"
)


def _url_problem(url: str) -> str | None:
    """What redis-py would overlook, or would say with a piece of the password in it."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        return str(error)
    if re.search(r"\s", url):
        return "it holds a space"
    if parts.scheme not in ("redis", "rediss", "unix"):
        return "it does not begin with redis://, rediss:// or unix://"
    if parts.scheme == "unix":
        return None if parts.path.strip("/") else "it names no socket"
    try:
        parts.port  # noqa: B018 - reading it checks it
    except ValueError:
        return "its port is no number from 0 to 65535"
    if parts.fragment:
        return "it holds a #"
    if not re.fullmatch(r"/?\d*", parts.path):
        return "what follows the host is no database number"
    return None


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
        return QueueRefused(f"Redis refuses the login: {text}; correct user and password in REDIS_URL")
    if isinstance(error, redis.exceptions.OutOfMemoryError):
        return QueueFull(f"Redis is at its memory limit: {text}")
    if isinstance(error, redis.exceptions.ConnectionError | redis.exceptions.TimeoutError):
        return QueueUnavailable(f"Redis cannot be reached: {text}")
    if isinstance(error, redis.exceptions.InvalidResponse):
        return QueueUnavailable(f"what answers at REDIS_URL does not speak as Redis does: {text}")
    found = _CODE.search(text)
    code = found.group(1) if found else text.split(" ", 1)[0]
    if isinstance(error, redis.exceptions.NoPermissionError) or code in _REFUSED:
        return QueueRefused(f"Redis refuses: {text}")
    if code == "OOM":
        return QueueFull(f"Redis is at its memory limit: {text}")
    if isinstance(error, _NOT_NOW) or code in _WAITING:
        return QueueUnavailable(f"Redis cannot do this now: {text}")
    return QueueCorrupt(f"Redis answered: {text}")


def create_group(client: Client, stream: str, group: str) -> None:
    """Create a consumer group, and its stream, unless somebody was quicker."""
    with translated():
        try:
            client.xgroup_create(stream, group, id="0", mkstream=True)
        except redis.exceptions.ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise


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
            return script(keys=keys, args=[_wire(arg) for arg in args])


def _wire(arg: str | float) -> str | bytes | float:
    """What was read as bytes that are no UTF-8 goes back as them: hiredis knows no `encoding_errors`."""
    return arg if not isinstance(arg, str) or arg.isascii() else arg.encode("utf-8", "surrogateescape")
