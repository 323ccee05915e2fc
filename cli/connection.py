"""The command line's way to the queue: which Redis, how patiently, and what to advise when it cannot be used.

Imports Redis only when a command asks for it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager

from cli import settings
from lib.errors import JobRunnerError, QueueCorrupt, QueueFull, QueueRefused, QueueUnavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lib.jobqueue.store import JobStore

RETRIES = 2  # of each command, when its answer does not come; every move is safe to repeat
_HINTS: dict[type[JobRunnerError], str] = {
    QueueUnavailable: "is Redis running, writable and at this address? name another with --redis-url or REDIS_URL",
    QueueFull: "let the workers drain the queue, or raise maxmemory, then run the command again",
    QueueRefused: "put user and password into the URL, redis://USER:PASSWORD@HOST:PORT/DB, and allow it our commands",
    QueueCorrupt: "another program's keys, or no such database? choose another KEY_PREFIX or database of the URL, "
    "or remove the foreign key",
}


@contextmanager
def connected(args: argparse.Namespace) -> Iterator[JobStore]:
    """Open the job store that `args` and the environment name; errors of Redis leave with advice on them."""
    from lib.jobqueue.store import JobStore

    url, timeout = settings.redis_url(args.redis_url), settings.redis_timeout_seconds()
    store = JobStore.connect(url, settings.key_prefix(), timeout_seconds=timeout, connections=4, retries=RETRIES)
    try:
        yield store
    except (QueueUnavailable, QueueFull, QueueRefused, QueueCorrupt) as error:
        advise(error)
        raise
    finally:
        store.client.close()


def advise(error: JobRunnerError) -> str:
    """Put our advice on an error of Redis, unless it has one; return it."""
    hint = getattr(error, "hint", "") or next((text for kind, text in _HINTS.items() if isinstance(error, kind)), "")
    error.__dict__["hint"] = hint
    return str(hint)
