"""Jobs to a folder: one text.txt for each job, and manifest.json. Deterministic: no clock, no random, no absolute path.

The folder appears whole (staged beside it, then renamed). Refuses to touch a folder that holds anything but an earlier
compile: synthesised audio is never overwritten by a compile.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from lib.errors import InputError
from lib.jobqueue.spec import JobSpec, content_hash
from lib.manifest.argv import build_argv
from lib.manifest.estimate import deadline_seconds, estimated_seconds
from lib.manifest.rows import conflicts

MANIFEST = "manifest.json"
MANIFEST_VERSION = 1
CREATED, UNCHANGED, REPLACED = "created", "unchanged", "replaced"


def build_manifest(jobs: Sequence[JobSpec]) -> dict[str, object]:
    """Return the manifest of `jobs`, ordered so that each voice or speaker is loaded once."""
    problems = conflicts(list(jobs), lambda row, field: f"jobs[{row}].{field}")
    if problems:
        raise InputError(problems)
    entries = [_entry(job) for job in sorted(jobs, key=_order)]
    return {"manifest_version": MANIFEST_VERSION, "run_id": run_id_of(entries), "jobs": entries}


def _order(job: JobSpec) -> tuple[str, str, str]:
    return (job["voice"] or "", job["speaker"] or "", job["output_name"])


def _entry(job: JobSpec) -> dict[str, object]:
    estimated = estimated_seconds(job["text"], job["variants"])
    return {
        "request_id": job["request_id"],
        "output_name": job["output_name"],
        "content_hash": content_hash(job),
        "voice": job["voice"],
        "speaker": job["speaker"],
        "deadline_seconds": deadline_seconds(estimated),
        "estimated_seconds": estimated,
        "argv": build_argv(job),
    }


def run_id_of(entries: Sequence[object]) -> str:
    """Return the run id of a manifest's jobs: the same jobs, the same id."""
    canonical = json.dumps(entries, sort_keys=True, separators=(",", ":")).encode("ascii")
    return "run-" + hashlib.sha256(canonical).hexdigest()[:16]


def manifest_bytes(manifest: dict[str, object]) -> bytes:
    """Return manifest.json's content."""
    return (json.dumps(manifest, sort_keys=True, indent=2, ensure_ascii=False) + "\n").encode()


def compile_jobs(jobs: Sequence[JobSpec], out: Path) -> tuple[dict[str, object], str]:
    """Write `jobs` into folder `out`; return the manifest and what became of the folder.

    "unchanged": the folder holds exactly this manifest already, perhaps with results; nothing was written.
    """
    manifest = build_manifest(jobs)
    texts = {job["output_name"]: job["text"] for job in jobs}
    out = Path(os.path.realpath(out))
    state = _state_of(out, manifest, texts)
    if state == UNCHANGED:
        return manifest, UNCHANGED
    if _is_current_folder(out):  # replacing it would leave the user's shell in a folder that is gone
        _write_inside(out, manifest, texts)
        return manifest, state
    _make_parents(out)
    staging = out.parent / f".{out.name[:200]}.compile-{os.getpid()}"
    try:
        try:
            _write(staging, manifest, texts)
            _put_in_place(staging, out, replace=state == REPLACED)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY, errno.EXDEV) or not _is_empty(out):
            raise OSError(error.errno, error.strerror, os.fspath(out)) from error  # not the name of our staging folder
        _write_inside(out, manifest, texts)  # a mount point: nothing can be renamed over it
    return manifest, state


def _make_parents(out: Path) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise InputError(f"{out}: a part of this path is a file; name another folder with --out") from None


def _is_current_folder(out: Path) -> bool:
    try:
        return out.samefile(Path.cwd()) and _is_empty(out)
    except OSError:
        return False


def _state_of(out: Path, manifest: dict[str, object], texts: dict[str, str]) -> str:
    """Return created, unchanged or replaced; raise InputError where the folder holds something of value."""
    if not os.path.lexists(out) or _is_empty(out):
        return CREATED
    if not out.is_dir():
        raise InputError(f"{out}: is a file; name a folder with --out")
    path = out / MANIFEST
    try:
        data = path.read_bytes()
    except OSError:
        raise InputError(f"{out}: holds files, but no {MANIFEST} of an earlier compile; name another folder") from None
    if data == manifest_bytes(manifest) and all(_holds(out, name, text) for name, text in texts.items()):
        return UNCHANGED
    surprise = _surprise(out, data)
    if surprise is not None:
        raise InputError(f"{out}: holds {surprise}, which is not of an earlier compile of it; name another folder")
    return REPLACED


def _holds(out: Path, output_name: str, text: str) -> bool:
    try:
        return (out / output_name / "text.txt").read_bytes() == text.encode()
    except OSError:
        return False


def _is_empty(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is None
    except OSError:
        return False


def _surprise(out: Path, data: bytes) -> str | None:
    """Return the first file that the earlier compile did not write, or what is odd about its manifest."""
    try:
        jobs = json.loads(data)["jobs"]
        expected = {MANIFEST} | {os.path.join(job["output_name"], "text.txt") for job in jobs}  # noqa: PTH118
    except (ValueError, KeyError, TypeError):
        return f"a {MANIFEST} that no compile wrote"
    for folder, _, names in os.walk(out):
        for name in names:
            relative = os.path.relpath(os.path.join(folder, name), out)  # noqa: PTH118
            if relative not in expected:
                return relative
    return None


def _write(folder: Path, manifest: dict[str, object], texts: dict[str, str]) -> None:
    """Write the texts, then the manifest: a folder with a manifest is complete."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for output_name, text in texts.items():
        job_folder = folder / output_name
        job_folder.mkdir(parents=True)
        (job_folder / "text.txt").write_bytes(text.encode())
    with (folder / MANIFEST).open("wb") as file:
        file.write(manifest_bytes(manifest))
        file.flush()
        os.fsync(file.fileno())


def _put_in_place(staging: Path, out: Path, *, replace: bool) -> None:
    if not replace:
        staging.rename(out)  # POSIX renames a folder over an empty one
        return
    old = out.parent / f".{out.name[:200]}.old-{os.getpid()}"
    out.rename(old)
    try:
        staging.rename(out)
    except OSError:
        old.rename(out)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _write_inside(out: Path, manifest: dict[str, object], texts: dict[str, str]) -> None:
    staging = out / f".compile-{os.getpid()}"
    try:
        _write(staging, manifest, texts)
        for entry in sorted(staging.iterdir(), key=lambda path: path.name == MANIFEST):
            entry.rename(out / entry.name)  # manifest.json last
    finally:
        shutil.rmtree(staging, ignore_errors=True)
