"""The spool: the folder in which one host's provisioner leaves collected audio for its uploaders.

Owns its name (made once by whoever comes first), how a job's folder in it is called, how much room it has, and the
removal of folders that nothing names any more. Follows no link.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_NAME = re.compile(r"[0-9a-f]{12}\Z")


def spool_name(folder: Path) -> str:
    """Return the spool's name, making folder and name where they are missing.

    Raises:
        OSError: the folder cannot be made, read or written.
        ValueError: something else stands in its `.spool-id`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ".spool-id"
    if not path.exists():
        aside = folder / f".spool-id.{secrets.token_hex(6)}"
        with aside.open("x", encoding="ascii") as file:
            file.write(secrets.token_hex(6) + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(aside, path)  # unlike a rename, this never replaces the name another process has just given
        except FileExistsError:
            pass
        finally:
            aside.unlink()
    name = path.read_text(encoding="ascii", errors="replace").strip()
    if not _NAME.match(name):
        raise ValueError(f"{path}: holds {name!r:.60}, not the 12 hex digits of a spool's name; remove the file")
    return name


def job_folder(batch_id: str, request_id: str, token: str) -> str:
    """Return a job's folder, relative to the spool: another claim of the batch (another token) gets another folder."""
    return f"{batch_id}/{hashlib.sha256(request_id.encode(errors='surrogateescape')).hexdigest()[:8]}-{token[:8]}"


def free_bytes(folder: Path) -> int:
    """Return the room left for us on the disk of `folder`."""
    return shutil.disk_usage(folder).free


def sweep(folder: Path, named: Callable[[], set[str]], *, least_age_seconds: float = 3600.0) -> list[str]:
    """Remove job folders that nothing names any more; return them, relative to the spool.

    `named` tells which folders are in use, and is asked after the disk was looked at: a folder handed over in between
    is in its answer. Younger folders are left alone, for they may be on their way to a hand-over.
    """
    limit = time.time() - least_age_seconds
    old = [path for path in folder.glob("*/*") if _is_old_folder(path, limit)]
    removed = []
    in_use = named() if old else set()
    for path in old:
        relative = path.relative_to(folder).as_posix()
        if relative not in in_use:
            shutil.rmtree(path)
            removed.append(relative)
    for path in folder.iterdir():
        if _is_old_folder(path, limit):
            with suppress(OSError):  # not empty
                path.rmdir()
    return removed


def _is_old_folder(path: Path, limit: float) -> bool:
    try:
        found = path.lstat()
    except OSError:  # an uploader removed it just now
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_mtime < limit
