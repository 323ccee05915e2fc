"""From a box's files to the spool: checked while they are copied, synced, and put in place whole.

What is copied is what was checked: each file is read once, through no link, and no further than its listed size.
Refuses anything that is not exactly what was ordered (BadArtefact).
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lib.errors import BadArtefact, SpoolFull
from lib.jobqueue.spec import JobSpec
from lib.spool import free_bytes, job_folder
from provisioner.artefacts import (
    MAX_RESULT_BYTES,
    SECONDS_TOLERANCE,
    WAV_HEAD_BYTES,
    Listed,
    ordered_files,
    parse_result,
    travelling_result,
    wav_seconds,
)
from provisioner.box import Box

_CHUNK_BYTES = 1024 * 1024
RESULT = "result.json"


@dataclass(frozen=True, slots=True)
class Collected:
    """A job's audio in the spool. `folder`: relative to it, '' when there are no files."""

    folder: str
    files: list[dict[str, object]]
    result: dict[str, object]
    audio_seconds: float


class Collector(Protocol):
    """Brings a finished job's files from a box into the spool."""

    spool: str

    def trouble(self) -> str | None:
        """Say why nothing can be spooled now, or None."""

    def collect(self, box: Box, batch_id: str, token: str, job: JobSpec) -> Collected:
        """Fetch, check and spool; raises BadArtefact, SpoolFull, BoxLost."""

    def discard(self, collected: Collected) -> None:
        """Remove what was spooled for a job that turned out to be no longer ours."""


class SpoolCollector:
    """Collects into this host's spool folder."""

    def __init__(self, root: Path, name: str, min_free_mb: int) -> None:
        self.spool = name
        self._root = root
        self._min_free_bytes = min_free_mb * 1024 * 1024

    def trouble(self) -> str | None:
        """Say why nothing can be spooled now."""
        try:
            free = free_bytes(self._root)
        except OSError as error:
            return f"the spool {self._root} cannot be used: {error.strerror}"
        if free < self._min_free_bytes:
            least = self._min_free_bytes >> 20
            return f"the spool {self._root} has {free >> 20} MiB left, less than SPOOL_MIN_FREE_MB={least}"
        return None

    def collect(self, box: Box, batch_id: str, token: str, job: JobSpec) -> Collected:
        """Fetch, check and spool one job."""
        source = box.fetch(batch_id, job["output_name"])
        with _opened_folder(source) as folder:
            result = parse_result(_read_small(folder, RESULT))
            text_sha256 = hashlib.sha256(job["text"].encode()).hexdigest()
            listed = ordered_files(result, job, text_sha256)
            self._refuse_when_full(sum(file.size for file in listed))
            relative = job_folder(batch_id, job["request_id"], token)
            self._spool(folder, listed, relative)
        kept = travelling_result(result, listed)
        seconds = kept["audio_seconds"]
        assert isinstance(seconds, int | float)
        return Collected(relative, [file.payload() for file in listed], kept, float(seconds))

    def discard(self, collected: Collected) -> None:
        """Remove a spooled folder."""
        if collected.folder:
            shutil.rmtree(self._root / collected.folder, ignore_errors=True)

    def _refuse_when_full(self, needed_bytes: int) -> None:
        trouble = self.trouble()
        if trouble is None and free_bytes(self._root) < needed_bytes + self._min_free_bytes // 2:
            trouble = f"the spool {self._root} has no room for {needed_bytes} bytes more"
        if trouble is not None:
            raise SpoolFull(trouble)

    def _spool(self, folder: int, listed: list[Listed], relative: str) -> None:
        target = self._root / relative
        batch = target.parent
        aside = batch / f".partial-{target.name}-{secrets.token_hex(4)}"
        try:
            new_batch = not batch.exists()
            aside.mkdir(parents=True)
            for file in listed:
                _copy_checked(folder, file, aside / file.name)
            _sync(aside)
            if not target.exists():  # else: this very claim has put the same files there already
                aside.rename(target)
            _sync(batch)
            if new_batch:
                _sync(self._root)
        except OSError as error:
            raise SpoolFull(f"the spool {self._root} cannot be written: {error.strerror}") from error
        finally:
            shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def _opened_folder(path: Path) -> Iterator[int]:
    """Open a folder that is where it says it is, through no link."""
    if os.path.realpath(path) != str(path):
        raise BadArtefact("the job's folder is, or lies under, a link")
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise BadArtefact(f"the job's folder cannot be opened: {error.strerror}") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _opened_file(folder: int, name: str) -> Iterator[int]:
    try:
        # O_NONBLOCK: a pipe in the place of a file must not hold us.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(name, flags, dir_fd=folder)
    except OSError as error:
        raise BadArtefact(f"{name} cannot be opened: {error.strerror}") from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise BadArtefact(f"{name} is no plain file")
        yield descriptor
    finally:
        os.close(descriptor)


def _read_small(folder: int, name: str) -> bytes:
    data = b""
    with _opened_file(folder, name) as descriptor:
        while chunk := _read(descriptor, name):
            data += chunk
            if len(data) > MAX_RESULT_BYTES:
                raise BadArtefact(f"{name} has more than {MAX_RESULT_BYTES} bytes")
    return data


def _read(descriptor: int, name: str) -> bytes:
    try:
        return os.read(descriptor, _CHUNK_BYTES)
    except OSError as error:
        raise BadArtefact(f"{name} cannot be read: {error.strerror}") from error


def _copy_checked(folder: int, file: Listed, target: Path) -> None:
    """Copy one file, and hold the copy against its size, SHA-256 and (audio) length."""
    digest, size, head = hashlib.sha256(), 0, b""
    with _opened_file(folder, file.name) as descriptor, target.open("xb") as copy:
        while chunk := _read(descriptor, file.name):
            size += len(chunk)
            if size > file.size:
                raise BadArtefact(f"{file.name} has more than the {file.size} bytes that are listed")
            head = head or chunk[:WAV_HEAD_BYTES]
            digest.update(chunk)
            copy.write(chunk)
        copy.flush()
        os.fsync(copy.fileno())
    if size != file.size:
        raise BadArtefact(f"{file.name} has {size} bytes, not the {file.size} that are listed")
    if digest.hexdigest() != file.sha256:
        raise BadArtefact(f"{file.name} has another SHA-256 than result.json says")
    if file.seconds is not None:
        try:
            seconds = wav_seconds(head, size)
        except BadArtefact as error:
            raise BadArtefact(f"{file.name}: {error}") from error
        if abs(seconds - file.seconds) > SECONDS_TOLERANCE:
            raise BadArtefact(f"{file.name} has {seconds:.3f} s of audio, not the {file.seconds} that are listed")


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
