"""From an upload's payload to what is to be stored: names, sizes, checksums, content types. Pure.

Refuses every path that could lead out of the job's folder, in the spool or in the store.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lib.errors import SpoolDamaged, StorageRefused

CONTENT_TYPES = {"wav": "audio/wav", "json": "application/json", "txt": "text/plain; charset=utf-8"}
_OTHER = "application/octet-stream"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}\Z")
_PART = re.compile(r"[A-Za-z0-9._-]{1,200}\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\\\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """One file: its name in the job's folder, and what it must be."""

    name: str
    role: str
    size: int
    sha256: str
    content_type: str


@dataclass(frozen=True, slots=True)
class UploadPlan:
    """What is to be stored for one job. `handed_ms` (the clock of Redis) orders a request's attempts."""

    request_id: str
    output_name: str
    folder: str
    attempt: int
    handed_ms: int
    token: str
    files: tuple[PlannedFile, ...]

    def outputs(self, where: Mapping[str, str]) -> dict[str, Any]:
        """The record's `outputs`, from the place of each file."""
        by_role: dict[str, list[str]] = {}
        for file in self.files:
            by_role.setdefault(file.role, []).append(where[file.name])
        first = {role: places[0] for role, places in by_role.items()}
        return {
            "best": first.get("best"),
            "takes": by_role.get("take", []),
            "meta": first.get("meta"),
            "text": first.get("text"),
        }


def make_plan(request_id: str, payload: Mapping[str, Any], row: Mapping[str, Any]) -> UploadPlan:
    """Read a payload (docs/protocol.md, "An upload") and the job's row.

    Raises:
        SpoolDamaged: it names files in a way that no hand-over of ours does.
        StorageRefused: the job's output_name can be stored nowhere.
    """
    output_name = payload.get("output_name")
    if not safe_output_name(output_name):
        raise StorageRefused(f"output_name {output_name!r:.200} is not a safe relative name")
    raw = payload.get("files")
    if not isinstance(raw, Sequence) or isinstance(raw, str):
        raise SpoolDamaged("the payload's files are no list")
    files = tuple(_planned(one) for one in raw)
    if len({file.name for file in files}) != len(files):
        raise SpoolDamaged("the payload names one file twice")
    return UploadPlan(
        request_id=request_id,
        output_name=str(output_name),
        folder=_folder(payload.get("folder")) if files else "",
        attempt=_int(payload.get("attempt")),
        handed_ms=_int(row.get("handed_ms")),
        token=str(payload.get("take_token") or ""),
        files=files,
    )


def safe_output_name(name: object) -> bool:
    """Whether this names a place below a root, and nothing else."""
    if not isinstance(name, str) or not name or len(name.encode(errors="replace")) > 1000 or _CONTROL.search(name):
        return False
    return all(part not in ("", ".", "..") for part in name.split("/"))


def newer(theirs: tuple[int, int], ours: UploadPlan) -> bool:
    """Whether (handed_ms, attempt) of what is stored is of a later attempt of the same request."""
    return theirs > (ours.handed_ms, ours.attempt)


def _planned(raw: object) -> PlannedFile:
    if not isinstance(raw, Mapping):
        raise SpoolDamaged("the payload lists a file that is no object")
    name, size, sha256 = raw.get("path"), raw.get("size"), raw.get("sha256")
    if not isinstance(name, str) or not _NAME.match(name) or name == "job.json":
        raise SpoolDamaged(f"the payload names a file {name!r:.200}; names are flat and plain")
    if type(size) is not int or size < 0:
        raise SpoolDamaged(f"{name}: the payload gives no size")
    if not isinstance(sha256, str) or not _SHA256.match(sha256):
        raise SpoolDamaged(f"{name}: the payload gives no SHA-256")
    kind = CONTENT_TYPES.get(name.rpartition(".")[2].lower(), _OTHER)
    return PlannedFile(name, str(raw.get("role")), size, sha256, kind)


def _folder(raw: object) -> str:
    parts = raw.split("/") if isinstance(raw, str) else []
    if not parts or not all(_PART.match(part) and part.strip(".") for part in parts):
        raise SpoolDamaged(f"the payload names the folder {raw!r:.200}; it must lie inside the spool")
    return "/".join(parts)


def _int(value: object) -> int:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0
