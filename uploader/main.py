"""Builds and starts the uploader. A bad setting, bad keys or a missing bucket stop it here, with one line each."""

from __future__ import annotations

import argparse
import fcntl
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from prometheus_client import CollectorRegistry
from pydantic import ValidationError

from lib.errors import InputError, JobRunnerError, PermanentError, TransientError
from lib.jobqueue.look import Look
from lib.jobqueue.store import JobStore
from lib.process import HealthServer, Stopper, exit_on_thread_crash
from lib.spool import spool_name
from lib.telemetry.logs import hide, setup_logging
from uploader.checks import Checks
from uploader.disk import DiskSink
from uploader.follow import Follower
from uploader.lease import Leases
from uploader.loop import UploadLoop
from uploader.observe import Observer
from uploader.settings import UploaderSettings
from uploader.settle import Settler
from uploader.sink import Sink, StoreClosed
from uploader.spool_files import SpoolFiles
from uploader.storer import Storer
from uploader.topic import Topics

logger = logging.getLogger("uploader")

_MAX_LOOP_AGE_SECONDS = 90.0
_CALL_SECONDS = 5.0  # of one call to Redis, longer than any BLOCK used here: one that hangs must not hold up a stop


def main(argv: Sequence[str] | None = None) -> int:
    """Run the uploader: 0 after a clean stop, 1 after a fatal error, 2 for bad settings."""
    parser = argparse.ArgumentParser(
        prog="uploader",
        description="Stores finished audio and settles its jobs; its settings are environment variables.",
    )
    parser.parse_args(argv)
    stopper = Stopper().install()
    with ExitStack() as stack:
        try:
            loop = _prepare(stack)
        except (_BadStartError, InputError, OSError, ValueError) as error:
            for line in _faults(error):
                _say(line)
            return 2
        return _run(loop, stopper)


def _run(loop: UploadLoop, stopper: Stopper) -> int:
    try:
        loop.run(stopper.stop)
    except StoreClosed as error:  # the store was away at the start, and now that it answers it takes nothing of ours
        _say(str(error))
        return 2
    except JobRunnerError as error:
        logger.critical("uploader gives up", extra={"error_type": error.error_type, "reason": str(error)})
        return 1
    return 0


class _BadStartError(Exception):
    """What an operator has to put right before this can start."""


def _prepare(stack: ExitStack) -> UploadLoop:
    settings = UploaderSettings()
    setup_logging("uploader", settings.log_level)
    _hide_secrets(settings)
    name = spool_name(settings.spool_dir)
    spool = SpoolFiles(settings.spool_dir.absolute())
    sink = _sink(settings, spool)
    store = JobStore.connect(
        settings.redis_address(),
        settings.key_prefix,
        timeout_seconds=_CALL_SECONDS,
        retries=1,
        connections=settings.uploader_threads + 8,
    )
    _first_contact(store, sink)
    stack.callback(os.close, _only_one(settings.spool_dir, settings.host))
    exit_on_thread_crash()
    logger.info("uploader starts", extra={"sink": settings.uploader_sink, "spool": name})
    return _build(settings, store, sink, spool, name, stack)


def _build(
    settings: UploaderSettings, store: JobStore, sink: Sink, spool: SpoolFiles, name: str, stack: ExitStack
) -> UploadLoop:
    registry = CollectorRegistry()
    observer, look = Observer(registry), Look(store)
    stream = store.uploads_stream(name, f"{settings.host}/uploader-1")
    health = HealthServer(
        settings.metrics_host,
        settings.uploader_metrics_port,
        max_age_seconds=_MAX_LOOP_AGE_SECONDS,
        checks={"queue": observer.queue_fault, "store": observer.store_fault},
        registry=registry,
    )
    stack.enter_context(health)
    topics = follower = None
    if settings.uploader_sink == "disk":
        topics = Topics(settings.uploader_disk_dir, look.results)
        follower = Follower(look, topics)
        stack.callback(follower.close)
    checks = Checks(sink, spool, observer, settings.uploader_lease_ms / 1000).start()
    stack.callback(checks.stop)
    leases = Leases(store, stream, settings.uploader_lease_ms, settings.host, name, observer).start()
    stack.callback(leases.stop)
    storer = Storer(sink, spool, leases, look, settings.uploader_threads, settings.uploader_store_seconds).start()
    settler = Settler(store, name, spool, leases, checks, topics, observer)
    return UploadLoop(
        settings,
        store,
        name,
        stream,
        sink,
        leases,
        storer,
        settler,
        observer,
        topics=topics,
        follower=follower,
        beat=health.beat,
    )


def _sink(settings: UploaderSettings, spool: SpoolFiles) -> Sink:
    if settings.uploader_sink == "disk":
        return DiskSink(settings.uploader_disk_dir, spool)
    from uploader.s3 import S3Sink  # boto3 costs a quarter of a second and 30 MB that the disk sink need not pay

    try:
        return S3Sink(settings, spool)
    except PermanentError as error:
        raise _BadStartError(str(error)) from error


def _first_contact(store: JobStore, sink: Sink) -> None:
    """Ask queue and store once. What an operator must put right ends the start; an outage is the loop's to wait out."""
    for ask in (store.ping, sink.probe):
        try:
            ask()
        except PermanentError as error:
            raise _BadStartError(str(error)) from error
        except TransientError as error:
            logger.warning("not there yet; waiting", extra={"error_type": error.error_type, "reason": str(error)})


def _only_one(spool: Path, worker: str) -> int:
    """Hold the lock of this worker's name on this spool: two processes of one name would take each other's work."""
    descriptor = os.open(spool / f".uploader-{worker}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise _BadStartError(
            f"SPOOL_DIR {spool}: an uploader named {worker} is at work here already; set WORKER_NAME for a second one"
        ) from None
    return descriptor


def _hide_secrets(settings: UploaderSettings) -> None:
    keys = settings.s3_keys() if settings.uploader_sink == "s3" else None
    if keys is not None:
        hide(keys[1])


def _faults(error: Exception) -> list[str]:
    """One line for each fault; the value of a setting is never shown, for it may be a secret."""
    if not isinstance(error, ValidationError):
        return [str(error)]
    lines = []
    for fault in error.errors(include_url=False, include_context=False, include_input=False):
        name = ".".join(str(part) for part in fault["loc"]).upper()
        message = str(fault["msg"]).removeprefix("Value error, ")
        lines.append(f"{name}: {message}" if name else message)
    return lines


def _say(line: str) -> None:
    sys.stderr.write(f"uploader: {line}\n")
