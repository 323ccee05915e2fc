"""Files that appear whole or not at all: written aside in the same folder, synced, renamed. Owns what an output folder
may hold of a run: text.txt, takes.meta.json, take_NN.wav, best.wav.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from synth.errors import DiskFull, OutputUnwritable

TEXT_NAME, META_NAME, BEST_NAME = "text.txt", "takes.meta.json", "best.wav"
_OURS = re.compile(r"take_\d{2,}\.wav|best\.wav|takes\.meta\.json")
_ASIDE = re.compile(r"\.voice-synth-(\d+)\.tmp")
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def take_name(take: int) -> str:
    """Return the file name of a take."""
    return f"take_{take:02d}.wav"


@contextmanager
def _written(what: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in _NO_ROOM:
            raise DiskFull(f"no room to write {what}: {reason}") from error
        raise OutputUnwritable(f"cannot write {what}: {reason}") from error


class Publication:
    """A run's files, gathered in a hidden folder inside the output folder and then moved to their names.

    What was gathered vanishes when the block is left without `publish`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._aside = folder / f".voice-synth-{os.getpid()}.tmp"
        self._entries: dict[str, dict[str, object]] = {}

    def __enter__(self) -> Publication:
        with _written(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            _sweep(self.folder)
            self._aside.mkdir()
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._aside, ignore_errors=True)

    def add(self, name: str, content: bytes) -> dict[str, object]:
        """Write one file aside; return its path, size and SHA-256 as the result file lists them."""
        with _written(self.folder / name):
            _write_synced(self._aside / name, content)
        entry: dict[str, object] = {
            "path": name,
            "size": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        self._entries[name] = entry
        return dict(entry)

    def copy(self, name: str, new_name: str) -> dict[str, object]:
        """Copy a file that was added; return the entry of the copy."""
        with _written(self.folder / new_name):
            content = (self._aside / name).read_bytes()
        return self.add(new_name, content)

    def publish(self, stale_result: Path | None) -> None:
        """Move every file to its name and remove what an earlier run left; its result file goes first.

        In that order a process that is ended halfway never leaves a result file that does not fit its files.
        """
        with _written(self.folder):
            if stale_result is not None:
                stale_result.unlink(missing_ok=True)
            for name in self._entries:
                (self._aside / name).replace(self.folder / name)
            for entry in self.folder.iterdir():
                if _OURS.fullmatch(entry.name) and entry.name not in self._entries:
                    entry.unlink()
            _sync_folder(self.folder)


def write_json(path: Path, document: Mapping[str, object]) -> None:
    """Write a JSON file whole."""
    content = json_bytes(document)
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with _written(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _write_synced(aside, content)
            aside.replace(path)
            _sync_folder(path.parent)
        finally:
            aside.unlink(missing_ok=True)


def json_bytes(document: Mapping[str, object]) -> bytes:
    """Return a document as the JSON that all our files hold."""
    return (json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sweep(folder: Path) -> None:
    """Remove what killed processes left aside."""
    for entry in folder.iterdir():
        match = _ASIDE.fullmatch(entry.name)
        if match and not _alive(int(match.group(1))):
            shutil.rmtree(entry, ignore_errors=True)


def _alive(pid: int) -> bool:
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
