"""The disk sink: finished audio as plain files, `<folder>/<output_name>/<file>`.

Files are written aside, fsynced, read back and renamed into place. A note beside them (`.stored.json`) says which
attempt they are of, so that an older one never replaces them: comparing and renaming happen under a lock on the folder.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

from lib.errors import JobRunnerError, StorageMismatch, StorageRefused, StorageUnavailable
from uploader.plan import PlannedFile, UploadPlan, newer
from uploader.sink import Guard, StoreClosed
from uploader.spool_files import SpoolFiles

NOTE = ".stored.json"
_CLOSED = {errno.EACCES, errno.EPERM, errno.EROFS}
_NAME_AT_FAULT = {
    errno.ENOTDIR,
    errno.EEXIST,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.ELOOP,
    errno.EINVAL,
    errno.EILSEQ,
}
_CHUNK = 1 << 20


class DiskSink:
    """A folder of this machine."""

    checks_later = False

    def __init__(self, root: Path, spool: SpoolFiles) -> None:
        self.root = root.absolute()
        self._spool = spool

    def probe(self) -> None:
        """Make the folder where it is missing, and write into it once."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except (FileNotFoundError, FileExistsError, NotADirectoryError) as error:
            raise StoreClosed(f"UPLOADER_DISK_DIR {self.root}: cannot be made: {error.strerror}") from error
        except OSError as error:
            with translated(self.root):
                raise error from None
        with translated(self.root):
            aside = self.root / f".probe-{secrets.token_hex(4)}"
            aside.write_bytes(b"")
            aside.unlink()

    def store(self, plan: UploadPlan, guard: Guard) -> dict[str, Any]:
        """Store a job's files; see `uploader.sink.Sink.store`."""
        folder = self.root / plan.output_name
        if not plan.files:
            return plan.outputs({})
        _refuse_reserved(plan.output_name)
        asides: dict[str, Path] = {}
        try:
            with translated(folder):
                folder.mkdir(parents=True, exist_ok=True)
                self._refuse_links(plan.output_name)
                for file in plan.files:
                    asides[file.name] = folder / f".{file.name}.{plan.token[:8]}-{secrets.token_hex(4)}.partial"
                    with self._spool.open(plan, file) as source:
                        _copy(source, asides[file.name], file)
                with _locked(folder):
                    _put_in_place(folder, plan, asides, guard)
        finally:
            for aside in asides.values():
                aside.unlink(missing_ok=True)
        return plan.outputs({file.name: str(folder / file.name) for file in plan.files})

    def recheck(self, plan: UploadPlan) -> int:  # noqa: ARG002 - the protocol's
        """Nothing to do: the lock on the folder lets no late write through."""
        return 0

    def _refuse_links(self, output_name: str) -> None:
        path = self.root
        for part in output_name.split("/"):
            path = path / part
            if path.is_symlink():
                raise StorageRefused(f"{path}: is a link; the audio of {output_name} would leave the sink's folder")


def _refuse_reserved(output_name: str) -> None:
    for part in output_name.split("/"):
        if part == "job.json" or part.startswith(".") or len(os.fsencode(part)) > 255:
            raise StorageRefused(f"output_name {output_name!r:.200}: no folder can be named {part!r:.80} here")


def _copy(source: BufferedReader, aside: Path, file: PlannedFile) -> None:
    """Copy one file and read it back from the disk."""
    with aside.open("xb") as target:
        while block := source.read(_CHUNK):
            target.write(block)
        target.flush()
        os.fsync(target.fileno())
    with aside.open("rb") as stored:
        found = hashlib.file_digest(stored, "sha256").hexdigest()
    if found != file.sha256:
        raise StorageMismatch(f"{aside.parent / file.name}: was written as {file.sha256}, reads back as {found}")


def _put_in_place(folder: Path, plan: UploadPlan, asides: dict[str, Path], guard: Guard) -> None:
    """Compare attempts, then rename; the caller holds the folder's lock."""
    guard.check()
    note = read_note(folder)
    same_request = note.get("request_id") == plan.request_id
    stored = (int(note.get("handed_ms") or 0), int(note.get("attempt") or 0))
    if same_request and newer(stored, plan):
        # By the note ours is the older one. The clock of Redis may have been set back: then the queue knows better.
        guard.confirm()
    _write_note(folder, plan)
    guard.check()
    for name, aside in asides.items():
        aside.rename(folder / name)
    for name in set(_names(note)) - set(asides):
        (folder / name).unlink(missing_ok=True)  # a take that the earlier attempt had and this one has not
    for left in folder.glob(".*.partial"):
        left.unlink(missing_ok=True)  # of a holder that was killed, or has been overtaken
    _fsync_folder(folder)


def read_note(folder: Path) -> dict[str, Any]:
    """What was stored here last; {} where nothing was, or the note is unreadable."""
    try:
        note = json.loads((folder / NOTE).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def _names(note: dict[str, Any]) -> list[str]:
    files = note.get("files")
    return [name for name in files if "/" not in name and not name.startswith(".")] if isinstance(files, dict) else []


def _write_note(folder: Path, plan: UploadPlan) -> None:
    note = {
        "request_id": plan.request_id,
        "output_name": plan.output_name,
        "attempt": plan.attempt,
        "handed_ms": plan.handed_ms,
        "token": plan.token,
        "files": {file.name: file.sha256 for file in plan.files},
        "roles": {file.name: file.role for file in plan.files},
    }
    write_aside(folder / NOTE, json.dumps(note, indent=1).encode() + b"\n")


def write_aside(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    aside = path.with_name(f"{path.name}.{secrets.token_hex(4)}.partial")
    try:
        with aside.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.rename(path)
    finally:
        aside.unlink(missing_ok=True)


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn the operating system's errors into ours."""
    try:
        yield
    except JobRunnerError:
        raise
    except OSError as error:
        what = f"{error.filename or path}: {error.strerror or error}"
        if error.errno in _CLOSED:
            raise StoreClosed(
                f"{what}; give the uploader's user the right to write there (UPLOADER_DISK_DIR)"
            ) from error
        if error.errno in _NAME_AT_FAULT:
            raise StorageRefused(what) from error
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageUnavailable(f"{what}; the disk of UPLOADER_DISK_DIR is full") from error
        raise StorageUnavailable(what) from error
