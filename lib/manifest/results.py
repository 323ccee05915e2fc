"""What a job left behind: its result.json and the files it names, believed only after size and SHA-256 were checked.

Refuses links, names with a path in them, other versions: a half-written or foreign file never counts as a result.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

RESULT = "result.json"
RESULT_VERSION = 1
MAX_RESULT_BYTES = 1024 * 1024
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_OUTPUT = re.compile(r"take_\d+\.wav|best\.wav|takes\.meta\.json|result\.json")


class BadResult(Exception):
    """A result.json is missing, broken, or names files that are not as it says."""


def read_result(folder: Path) -> dict[str, object]:
    """Return the checked content of `folder`/result.json, or raise BadResult saying what is wrong."""
    result = _parse(folder / RESULT)
    if result.get("schema_version") != RESULT_VERSION:
        raise BadResult(f"{RESULT} has schema_version {result.get('schema_version')!r}")
    status = result.get("status")
    if status == "failed":
        error = result.get("error")
        if not isinstance(error, dict) or error.get("class") not in ("permanent", "transient"):
            raise BadResult(f"{RESULT} says failed, but not why")
        return result
    if status != "done":
        raise BadResult(f"{RESULT} has status {status!r}")
    for file in _files(result):
        _verify(folder, file)
    return result


def _parse(path: Path) -> dict[str, object]:
    try:
        data = _read_plain_file(path, MAX_RESULT_BYTES)
    except FileNotFoundError:
        raise BadResult(f"there is no {RESULT}") from None
    except OSError as error:
        raise BadResult(f"{RESULT} cannot be read: {error.strerror}") from None
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadResult(f"{RESULT} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadResult(f"{RESULT} is no mapping")
    return value


def _files(result: dict[str, object]) -> Iterator[dict[str, object]]:
    files = result.get("files")
    if not isinstance(files, dict):
        raise BadResult(f"{RESULT} lists no files")
    takes = files.get("takes")
    if not isinstance(takes, list) or not takes:
        raise BadResult(f"{RESULT} lists no takes")
    best = [] if files.get("best") is None else [files["best"]]
    for file in [files.get("text"), files.get("meta"), *takes, *best]:
        if not isinstance(file, dict):
            raise BadResult(f"{RESULT} lists a file without its facts")
        yield file


def _verify(folder: Path, file: dict[str, object]) -> None:
    name, size, digest = file.get("path"), file.get("size"), file.get("sha256")
    if not isinstance(name, str) or not _PLAIN_NAME.fullmatch(name):
        raise BadResult(f"{RESULT} names a file outside its folder: {str(name)[:100]!r}")
    try:
        found_size, found_digest = _facts(folder / name)
    except OSError as error:
        raise BadResult(f"{name} cannot be read: {error.strerror}") from None
    if found_size != size:
        raise BadResult(f"{name} has {found_size} bytes, not {size}")
    if found_digest != digest:
        raise BadResult(f"{name} has another SHA-256 than {RESULT} says")


def _open_plain_file(path: Path) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(0, "not a plain file")
    return descriptor


def _read_plain_file(path: Path, most: int) -> bytes:
    with os.fdopen(_open_plain_file(path), "rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(0, f"more than {most} bytes")
    return data


def _facts(path: Path) -> tuple[int, str]:
    with os.fdopen(_open_plain_file(path), "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), digest


def clear_outputs(folder: Path) -> None:
    """Remove what an earlier attempt left in a job's folder; its text stays."""
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if _OUTPUT.fullmatch(entry.name)]
    for name in sorted(names, key=lambda name: name != RESULT):  # the result first: it vouches for the others
        (folder / name).unlink()
