"""What is done beside the slots: ending executors nobody owns, sweeping work folder and spool, knowing one's health.

Refuses to touch a batch that any slot of this provisioner holds, or will take back.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from lib.errors import InputError, JobRunnerError
from lib.jobqueue.look import Look
from lib.spool import free_bytes, sweep
from provisioner.box import Box
from provisioner.local import voice_synth_trouble

logger = logging.getLogger(__name__)

SWEEP_EVERY_SECONDS = 600.0
RETRY_EVERY_SECONDS = 10.0
GOOD_FOR_SECONDS = 600.0
BAD_FOR_SECONDS = 15.0


class WorkFolder:
    """The folder of the batches being spoken, held by one provisioner at a time."""

    def __init__(self, path: Path) -> None:
        self.path = Path(os.path.realpath(path))
        self._descriptor = -1
        self._mutex = threading.Lock()  # slots ask from their threads

    def take(self) -> WorkFolder:
        """Make the folder and hold it until this process ends; raises InputError."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self.path / ".provisioner.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.give_back()
            raise InputError(
                f"PROVISIONER_WORK_DIR: {self.path} is another live provisioner's; give each one its own"
            ) from None
        except OSError as error:
            raise InputError(
                f"PROVISIONER_WORK_DIR: {self.path} cannot be used ({error.strerror}); name a folder we may write"
            ) from error
        return self

    def give_back(self) -> None:
        """Let another provisioner have the folder."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def trouble(self, least_free_bytes: int) -> str | None:
        """Say why nothing can be spoken in it, or None."""
        try:
            with self._mutex:
                if not self.path.is_dir():  # somebody removed it: what was in it is lost, the rest can go on
                    self.give_back()
                    self.take()
            free = free_bytes(self.path)
        except InputError as error:
            return str(error)
        except OSError as error:
            return f"the work folder {self.path} cannot be used: {error.strerror}"
        if free < least_free_bytes:
            return f"the work folder {self.path} has {free >> 20} MiB left, less than {least_free_bytes >> 20}"
        return None


class VoiceSynth:
    """Whether voice-synth runs here: asked rarely, remembered in between. Safe from any thread."""

    def __init__(self, ask: Callable[[], str | None] = voice_synth_trouble) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._answer: str | None = None
        self._asked_at: float | None = None

    def trouble(self) -> str | None:
        """Say why it does not run, or None."""
        with self._lock:
            good_for = GOOD_FOR_SECONDS if self._answer is None else BAD_FOR_SECONDS
            if self._asked_at is None or time.monotonic() - self._asked_at > good_for:
                self._answer = self._ask()
                self._asked_at = time.monotonic()
            return self._answer


class Housekeeper:
    """The sweeps, at start and then every ten minutes."""

    def __init__(self, box: Box, look: Look, family: str, spool_root: Path, spool: str) -> None:
        self._box = box
        self._look = look
        self._family = family
        self._spool_root = spool_root
        self._spool = spool
        self._due_at = 0.0

    def go_round(self) -> None:
        """Sweep when it is time to; a queue or a disk that does not let us is tried again soon."""
        now = time.monotonic()
        if now < self._due_at:
            return
        self._due_at = now + SWEEP_EVERY_SECONDS
        try:
            self.end_strays()
            removed = sweep(self._spool_root, lambda: self._look.upload_folders(self._spool))
        except (JobRunnerError, OSError) as error:
            self._due_at = now + RETRY_EVERY_SECONDS
            logger.warning("could not sweep", extra={"error": str(error)})
            return
        if removed:
            logger.info("swept spool folders that no upload names", extra={"count": len(removed)})

    def end_strays(self) -> list[str]:
        """End executors, and remove folders, of batches that were settled or lost while nobody looked."""
        ids = self._box.batch_ids()  # first: a batch claimed after this has its row, and its folder is not in the list
        ended = []
        for batch_id, row in zip(ids, self._look.batch_rows(ids), strict=True):
            if row is not None and str(row.get("consumer")).startswith(self._family):
                continue
            self._box.remove(batch_id)
            ended.append(batch_id)
        if ended:
            logger.info("ended what was left of batches that are not ours", extra={"batches": ended})
        return ended
