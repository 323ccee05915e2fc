"""The spool folders of uploads: checked before they are stored, removed after their jobs are settled.

Follows no link, and never leaves the spool. Makes nothing but the note that a folder's job is settled.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import shutil
import stat
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any

from lib.errors import SpoolDamaged, StorageUnavailable
from uploader.plan import PlannedFile, UploadPlan

logger = logging.getLogger(__name__)

SETTLED = ".settled.json"
_GONE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EISDIR}


class SpoolFiles:
    """One host's spool folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, plan: UploadPlan) -> Path:
        """Where the files of an upload lie."""
        return self.root / plan.folder

    def check(self, plan: UploadPlan) -> None:
        """Hold every file against its size and SHA-256; raises SpoolDamaged."""
        for file in plan.files:
            with self.open(plan, file) as handle:
                try:
                    found = hashlib.file_digest(handle, "sha256").hexdigest()
                except OSError as error:
                    raise SpoolDamaged(f"{plan.folder}/{file.name}: {error.strerror}") from error
            if found != file.sha256:
                raise SpoolDamaged(f"{plan.folder}/{file.name}: its SHA-256 is {found}, not {file.sha256}")

    def open(self, plan: UploadPlan, file: PlannedFile) -> BufferedReader:
        """Open one file of the right size, through no link.

        Raises:
            SpoolDamaged: it is missing, a link, no plain file, or of another size.
            StorageUnavailable: the disk does not let us read just now, or the spool itself is away (not mounted).
        """
        where = f"{plan.folder}/{file.name}"
        try:
            descriptor = self._descriptor(plan.folder, file.name)
        except OSError as error:
            if error.errno in _GONE and (self.root / ".spool-id").exists():
                raise SpoolDamaged(f"{where}: {error.strerror}") from error
            raise StorageUnavailable(f"spool: {where}: {error.strerror}") from error
        handle = os.fdopen(descriptor, "rb")
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size != file.size:
            handle.close()
            raise SpoolDamaged(f"{where}: no plain file of {file.size} bytes (it has {found.st_size})")
        return handle

    def _descriptor(self, folder: str, name: str) -> int:
        at = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for part in folder.split("/"):
                below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
                os.close(at)
                at = below
            # O_NONBLOCK: a pipe in the place of a file must not hold us.
            return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=at)
        finally:
            os.close(at)

    def remove(self, folder: str) -> None:
        """Remove a settled upload's folder; what cannot be removed is left to the sweep, with a line in the log."""
        if not folder:
            return
        try:
            shutil.rmtree(self.root / folder)
        except FileNotFoundError:
            logger.debug("spool folder was gone already", extra={"folder": folder})
        except OSError as error:
            logger.warning("spool folder cannot be removed", extra={"folder": folder, "error": str(error)})

    def note_settled(self, plan: UploadPlan) -> None:
        """Leave a note that this folder's job is settled, so that its check survives a restart of ours."""
        note = {"request_id": plan.request_id, "output_name": plan.output_name, "attempt": plan.attempt}
        note |= {"handed_ms": plan.handed_ms, "take_token": plan.token, "folder": plan.folder}
        note["files"] = [{"path": f.name, "role": f.role, "size": f.size, "sha256": f.sha256} for f in plan.files]
        aside = self.folder(plan) / f"{SETTLED}.aside"
        try:
            aside.write_text(json.dumps(note), encoding="utf-8")
            aside.replace(self.folder(plan) / SETTLED)
        except OSError as error:
            logger.warning("no note in the spool", extra={"folder": plan.folder, "error": str(error)})

    def settled(self) -> Iterator[dict[str, Any]]:
        """The notes left by earlier runs."""
        for path in self.root.glob(f"*/*/{SETTLED}"):
            try:
                note = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                logger.warning("unreadable note in the spool", extra={"path": str(path), "error": str(error)})
                continue
            if isinstance(note, dict) and note.get("folder") == path.parent.relative_to(self.root).as_posix():
                yield note
