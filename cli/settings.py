"""What the command line reads from the environment: plain functions, because pydantic would double the start-up time.

Each value has a bound and a message of its own; nothing is read at import.
"""

from __future__ import annotations

import os
from pathlib import Path

from lib.errors import InputError

DEFAULT_REDIS_URL = "redis://127.0.0.1:6379/0"
DEFAULT_KEY_PREFIX = "pab:"
DEFAULT_LEASE_IDLE_MS = 180_000
DEFAULT_REDIS_TIMEOUT_SECONDS = 5.0


def redis_url(explicit: str | None) -> str:
    """Return the Redis URL: the option, else the file that REDIS_URL_FILE names, else REDIS_URL, else the default."""
    if explicit is not None:
        if not explicit.strip():
            raise InputError("--redis-url: is empty; write the URL, or leave the option out")
        return explicit
    path = os.environ.get("REDIS_URL_FILE", "").strip()
    if not path:
        return os.environ.get("REDIS_URL", "").strip() or DEFAULT_REDIS_URL
    try:
        url = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"REDIS_URL_FILE: {path} cannot be read ({reason}); check the path") from error
    if not url:
        raise InputError(f"REDIS_URL_FILE: {path} is empty; write the URL into it")
    return url


def key_prefix() -> str:
    """Return KEY_PREFIX, with which every key of the queue begins."""
    value = os.environ.get("KEY_PREFIX", "").strip() or DEFAULT_KEY_PREFIX
    if not value.isprintable():
        raise InputError(f"KEY_PREFIX: {value!r} holds a control character; remove it")
    return value


def redis_timeout_seconds() -> float:
    """Return REDIS_TIMEOUT_SECONDS: how long a command waits for each answer of Redis before it tries again."""
    value = os.environ.get("REDIS_TIMEOUT_SECONDS", "").strip()
    if not value:
        return DEFAULT_REDIS_TIMEOUT_SECONDS
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not 0.05 <= seconds <= 600:  # also refuses nan
        raise InputError(f"REDIS_TIMEOUT_SECONDS: {value!r} is not a number of seconds from 0.05 to 600")
    return seconds


def lease_idle_ms() -> int:
    """Return WATCHER_LEASE_IDLE_MS: after how many milliseconds a lease counts as stale."""
    value = os.environ.get("WATCHER_LEASE_IDLE_MS", "").strip()
    if not value:
        return DEFAULT_LEASE_IDLE_MS
    if not (value.isascii() and value.isdigit() and 1 <= int(value) <= 86_400_000):
        raise InputError(f"WATCHER_LEASE_IDLE_MS: {value!r} is not a number of milliseconds from 1 to 86400000")
    return int(value)
