"""Builds the provisioner and starts it: settings, spool, work folder, slots, health pages.

A wrong setting, a refused login or an unusable folder ends it here, with one line a fault and exit code 2. Redis being
away does not: it is waited for.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from prometheus_client import REGISTRY
from pydantic import ValidationError

from lib.errors import InputError, PermanentError, TransientError
from lib.jobqueue.look import Look
from lib.jobqueue.store import JobStore
from lib.process import HealthServer, Stopper, exit_on_thread_crash
from lib.spool import free_bytes, spool_name
from lib.telemetry.logs import setup_logging
from lib.telemetry.metrics import ProvisionerMetrics
from lib.voices import cache_dir
from provisioner.box import Box
from provisioner.collect import Collector, SpoolCollector
from provisioner.housekeeping import Housekeeper, VoiceSynth, WorkFolder
from provisioner.lease import Renewer
from provisioner.local import LocalBox
from provisioner.loop import Slot
from provisioner.null import NullBox, NullCollector
from provisioner.observe import Observer
from provisioner.run import Tools
from provisioner.settings import ProvisionerSettings

logger = logging.getLogger("provisioner")

BAD_SETTINGS = 2
STALLED_AFTER_SECONDS = 120.0
STOP_GRACE_SECONDS = 40.0
SLOT_TIMEOUT_SECONDS = 5.0
READY_TIMEOUT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where this provisioner works: its spool, its work folder, and whether voice-synth runs."""

    spool: str
    work: WorkFolder
    voice_synth: VoiceSynth


def main(argv: Sequence[str] | None = None) -> int:
    """Run the provisioner until it is told to stop."""
    words = sys.argv[1:] if argv is None else argv
    if words:
        sys.stderr.write("provisioner: takes no arguments; its settings are environment variables (see .env.example)\n")
        return BAD_SETTINGS
    try:
        settings = ProvisionerSettings()
        setup_logging("provisioner", settings.log_level)
        stopper = Stopper().install()
        exit_on_thread_crash()
        return _run(settings, stopper)
    except ValidationError as error:
        for fault in error.errors():
            name = ".".join(str(part) for part in fault["loc"]).upper()
            sys.stderr.write(f"provisioner: {name}: {fault['msg']}\n")
    except InputError as error:
        for line in error.problems:
            sys.stderr.write(f"provisioner: {line}\n")
    except PermanentError as error:
        sys.stderr.write(f"provisioner: {error}\n")
    return BAD_SETTINGS


def _run(settings: ProvisionerSettings, stopper: Stopper) -> int:
    store = _store(settings, timeout_seconds=SLOT_TIMEOUT_SECONDS)
    try:
        store.ping()
    except TransientError as error:
        logger.warning("redis does not answer yet", extra={"error": str(error)})
    place = Place(_spool(settings), WorkFolder(settings.provisioner_work_dir).take(), VoiceSynth())
    metrics = ProvisionerMetrics(REGISTRY)
    observer = Observer(metrics)
    observer.slots(settings.provisioner_slots)
    slots = [make_slot(settings, stopper.stop, observer, place, name) for name in settings.consumers()]
    # A connection that gives up soon: whoever asks for /readyz does not wait for ten seconds.
    health = _health(settings, _store(settings, timeout_seconds=READY_TIMEOUT_SECONDS, retries=0), place, slots)
    box, _ = _box(settings, place, "housekeeping")
    keeper = Housekeeper(box, Look(store), settings.consumer_prefix, settings.spool_dir, place.spool)
    threads = [threading.Thread(target=slot.run, name=slot.name, daemon=True) for slot in slots]
    with health:
        keeper.go_round()
        for thread in threads:
            thread.start()
        logger.info("provisioner is up", extra={"slots": len(slots), "spool": place.spool})
        while not stopper.wait(1.0):
            _look_after(slots, health, metrics, settings)
            keeper.go_round()
        logger.info("stopping", extra={"signal": stopper.signal_number})
        limit = time.monotonic() + settings.provisioner_stop_seconds + STOP_GRACE_SECONDS
        for thread in threads:
            thread.join(max(0.0, limit - time.monotonic()))
        for batch_id in box.batch_ids():  # what could not be handed back: its next holder goes on from its files
            box.kill(batch_id)
    logger.info("provisioner has stopped")
    return 0


def _store(settings: ProvisionerSettings, *, timeout_seconds: float, retries: int = 1) -> JobStore:
    try:
        address = settings.redis_address()
    except OSError as error:
        raise InputError(f"REDIS_URL_FILE: {settings.redis_url_file} cannot be read ({error.strerror})") from error
    return JobStore.connect(address, settings.key_prefix, timeout_seconds=timeout_seconds, retries=retries)


def _spool(settings: ProvisionerSettings) -> str:
    try:
        return spool_name(settings.spool_dir)
    except (OSError, ValueError) as error:
        raise InputError(
            f"SPOOL_DIR: {settings.spool_dir} cannot be used ({error}); name a folder we may write"
        ) from error


def _box(settings: ProvisionerSettings, place: Place, box_id: str) -> tuple[Box, Collector]:
    """Return what a slot speaks on, and what collects from it. A rented box takes its place here."""
    if settings.provisioner_executor == "null":
        return NullBox(), NullCollector(place.spool)
    least = settings.spool_min_free_mb * 1024 * 1024

    def trouble() -> str | None:
        return place.work.trouble(least) or place.voice_synth.trouble()

    spool = settings.spool_dir.resolve()
    return LocalBox(place.work.path, box_id, trouble), SpoolCollector(spool, place.spool, settings.spool_min_free_mb)


def make_slot(
    settings: ProvisionerSettings, stop: threading.Event, observer: Observer, place: Place, consumer: str
) -> Slot:
    """Return a slot with connections, leases and a box of its own."""
    lease_ms = settings.provisioner_batch_lease_ms
    store = _store(settings, timeout_seconds=SLOT_TIMEOUT_SECONDS)
    own = _store(settings, timeout_seconds=min(SLOT_TIMEOUT_SECONDS, lease_ms / 4000))
    box, collector = _box(settings, place, consumer)
    tools = Tools(
        store=store,
        look=Look(store),
        box=box,
        collector=collector,
        renewer=Renewer(own, consumer, lease_ms),
        observer=observer,
        cache=cache_dir(os.environ.get("VOICE_SYNTH_CACHE")),
        max_attempts=settings.watcher_max_attempts,
        margin_seconds=settings.provisioner_batch_margin_seconds,
    )
    return Slot(
        consumer,
        tools,
        store.batches_stream(consumer),
        stop,
        family=settings.consumer_prefix,
        lease_ms=lease_ms,
        stop_seconds=settings.provisioner_stop_seconds,
    )


def _health(settings: ProvisionerSettings, store: JobStore, place: Place, slots: Sequence[Slot]) -> HealthServer:
    def redis() -> str | None:
        store.ping()
        return None

    def spool() -> str | None:
        if not os.access(settings.spool_dir, os.W_OK | os.X_OK):
            return f"{settings.spool_dir} may not be written"
        return None

    def leasing() -> str | None:
        return next((slot.paused for slot in slots if slot.paused is not None), None)

    health = HealthServer(
        settings.metrics_host,
        settings.provisioner_metrics_port,
        max_age_seconds=STALLED_AFTER_SECONDS,
        checks={"redis": redis, "spool": spool, "leasing": leasing},
    )
    if settings.provisioner_executor == "local":
        health.add_check("voice_synth", place.voice_synth.trouble)
    return health


def _look_after(
    slots: Sequence[Slot], health: HealthServer, metrics: ProvisionerMetrics, settings: ProvisionerSettings
) -> None:
    """The loop of this process moves when the loop of every slot does."""
    if all(time.monotonic() - slot.last_round < STALLED_AFTER_SECONDS for slot in slots):
        health.beat()
        metrics.loop_last.set_to_current_time()
    try:
        metrics.spool_free.set(free_bytes(settings.spool_dir))
    except OSError as error:
        logger.warning("the spool cannot be looked at", extra={"error": str(error)})
