"""Builds the watcher and starts it: settings, connections, three threads, the health pages. Holds no policy.

Exit codes: 0 stopped as asked, 2 bad settings or a Redis that refuses us, 70 a thread crashed (a bug). On SIGTERM it
reads nothing more, gives the lock back and leaves within two seconds, also when Redis does not answer; what it leased
stays leased, and the next watcher takes it over at once.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from contextlib import suppress
from threading import Event, Thread

from prometheus_client import REGISTRY
from pydantic import ValidationError

from lib.errors import InputError, JobRunnerError, QueueRefused, TransientError
from lib.jobqueue.store import JobStore
from lib.process import HealthServer, Stopper, exit_on_thread_crash
from lib.telemetry.logs import setup_logging
from lib.telemetry.metrics import WatcherMetrics
from watcher.held import Held
from watcher.lease import Lock, Renewer
from watcher.loop import Watcher
from watcher.observe import Observer
from watcher.pulse import Pulse, RedisClock
from watcher.settings import WatcherSettings

logger = logging.getLogger(__name__)

BAD_SETTINGS = 2
CALL_SECONDS = 5.0  # of one call to Redis; longer than any BLOCK used here
STOP_SECONDS = 1.2  # for the loop's round at hand
RELEASE_SECONDS = 0.5
STALLED_SECONDS = 60.0


def main(argv: Sequence[str] | None = None) -> int:
    """Run one watcher until it is told to stop."""
    parser = argparse.ArgumentParser(
        prog="watcher", description="Leases jobs and forms batches. Settings: see .env.example."
    )
    parser.parse_args(argv)
    try:
        settings = WatcherSettings()
        url = settings.redis_address()
        stores = _connect(url, settings)
    except ValidationError as error:
        for fault in error.errors(include_url=False, include_context=False):
            name = ".".join(str(part) for part in fault["loc"]).upper()
            print(f"watcher: {f'{name}: ' if name else ''}{fault['msg']}", file=sys.stderr)  # noqa: T201
        return BAD_SETTINGS
    except (InputError, QueueRefused, OSError) as error:
        print(f"watcher: {error}", file=sys.stderr)  # noqa: T201
        return BAD_SETTINGS
    setup_logging("watcher", settings.log_level)
    exit_on_thread_crash()
    stopper = Stopper().install()
    try:
        return _serve(settings, stores, stopper.stop)
    except OSError as error:
        print(f"watcher: WATCHER_METRICS_PORT {settings.watcher_metrics_port}: {error}", file=sys.stderr)  # noqa: T201
        return BAD_SETTINGS


def _connect(url: str, settings: WatcherSettings) -> tuple[JobStore, JobStore, JobStore]:
    """Open a store each for the loop, the lock and the leases; a Redis that is only away is waited for later.

    No call is repeated behind our back: a read whose reply was lost must be noticed, for its entries are leased.
    """
    lock_seconds = min(CALL_SECONDS, settings.watcher_lock_ttl_ms / 4000)
    loop, lock, leases = (
        JobStore.connect(url, settings.key_prefix, timeout_seconds=seconds, connections=4, retries=0)
        for seconds in (CALL_SECONDS, lock_seconds, CALL_SECONDS)
    )
    with suppress(TransientError):  # the loop waits for it, and says so in the log
        loop.ping()
    return loop, lock, leases


def _serve(settings: WatcherSettings, stores: tuple[JobStore, JobStore, JobStore], stop: Event) -> int:
    store, lock_store, lease_store = stores
    observer = Observer(WatcherMetrics(REGISTRY))
    clock = RedisClock()
    pulse = Pulse(settings.consumer, clock)
    held = Held()
    lock = Lock(lock_store, settings.consumer, settings.watcher_lock_ttl_ms, pulse.heartbeat, observer)
    renewer = Renewer(lease_store, settings.consumer, settings.watcher_lease_idle_ms, lock, held, observer)
    health = HealthServer(settings.metrics_host, settings.watcher_metrics_port, max_age_seconds=STALLED_SECONDS)
    watcher = Watcher(settings, store, held, lock, renewer, pulse, clock, observer, health, stop)
    health.add_check("watcher", watcher.not_ready)
    with health:
        logger.info("started", extra={"consumer": settings.consumer})
        threads = [
            Thread(target=watcher.run, name="loop", daemon=True),
            Thread(target=lock.keep, args=(stop,), name="lock", daemon=True),
            Thread(target=renewer.keep, args=(stop,), name="leases", daemon=True),
        ]
        for thread in threads:
            thread.start()
        stop.wait()
        renewer.poke()
        threads[0].join(STOP_SECONDS)
        # In a thread of its own, for Redis may not answer: then the lock runs out by itself.
        release = Thread(target=_release, args=(lock,), name="release", daemon=True)
        release.start()
        release.join(RELEASE_SECONDS)
        logger.info("stopped")
    return 0


def _release(lock: Lock) -> None:
    try:
        lock.release(RELEASE_SECONDS)
    except JobRunnerError as error:
        logger.warning("the lock was not given back", extra={"error": str(error)})
