"""Reading a manifest.json before anything of it runs: version, shape, argv, paths, texts. All faults at once.

A manifest is data from somewhere else: it may start nothing but `voice-synth speak`, and write nowhere but into its
own folder.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from lib.errors import InputError
from lib.jobqueue import fields
from lib.jobqueue.spec import content_hash
from lib.manifest.argv import parse_argv
from lib.manifest.compile import MANIFEST_VERSION, run_id_of

MAX_MANIFEST_BYTES = 512 * 1024 * 1024
MAX_PROBLEMS = 1000
ENTRY_FIELDS = frozenset(
    {
        "request_id",
        "output_name",
        "content_hash",
        "voice",
        "speaker",
        "deadline_seconds",
        "estimated_seconds",
        "argv",
    }
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypedDict

    class Entry(TypedDict):
        """One job of a manifest."""

        request_id: str
        output_name: str
        content_hash: str
        voice: str | None
        speaker: str | None
        deadline_seconds: float
        estimated_seconds: float
        argv: list[str]

    class Manifest(TypedDict):
        """A whole manifest."""

        manifest_version: int
        run_id: str
        jobs: list[Entry]

else:
    Entry = Manifest = dict


def load_manifest(path: Path) -> Manifest:
    """Return the manifest at `path`, or raise InputError with one line for each fault."""
    manifest = _parse(path)
    jobs = manifest.get("jobs")
    version = manifest.get("manifest_version")
    if version != MANIFEST_VERSION or type(version) is not int:
        raise InputError(
            f"{path}: manifest_version is {version!r}, this program reads {MANIFEST_VERSION}; compile it again"
        )
    if not isinstance(jobs, list) or not jobs:
        raise InputError(f"{path}: jobs: must be a list with at least one job; compile it again")
    folder = Path(os.path.realpath(path.parent))
    problems: list[str] = []
    for row, entry in enumerate(jobs):
        problems += [f"{path}: jobs[{row}]{what}" for what in _entry_problems(entry, folder)]
        if len(problems) >= MAX_PROBLEMS:
            break
    if not problems:
        problems = [f"{path}: {what}" for what in _whole_problems(manifest, jobs)]
    if problems:
        raise InputError(problems)
    return manifest  # type: ignore[return-value]  # every field was just checked


def _parse(path: Path) -> dict[str, object]:
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):  # a pipe or a device has no end to read up to
            raise InputError(f"{path}: is no regular file; name a manifest.json that compile wrote")
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size > MAX_MANIFEST_BYTES:
                raise InputError(f"{path}: has more than {MAX_MANIFEST_BYTES:,} bytes; compile fewer jobs at once")
            data = file.read()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; name a manifest.json that compile wrote") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder; name the manifest.json in it") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    try:
        value = json.loads(data.decode())
    except RecursionError:
        raise InputError(f"{path}: nested too deeply; compile it again") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start} is not UTF-8; compile it again") from None
    except ValueError as error:
        raise InputError(f"{path}: not valid JSON: {error}; compile it again") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: a manifest must be a mapping, not {fields.describe(value)}; compile it again")
    return value


def _entry_problems(entry: object, folder: Path) -> list[str]:
    if not isinstance(entry, dict):
        return [f": must be a mapping, not {fields.describe(entry)}"]
    if odd := sorted(str(key) for key in entry.keys() ^ ENTRY_FIELDS):
        return [f": unknown or missing fields: {', '.join(odd)}"]
    problems = _field_problems(entry)
    if problems:
        return problems
    argv, output_name = entry["argv"], entry["output_name"]
    if not isinstance(argv, list) or not all(isinstance(word, str) and "\0" not in word for word in argv):
        return [".argv: must be a list of texts"]
    try:
        job = parse_argv(argv, output_name)
    except ValueError as error:
        return [f".argv: {error}; only the argv that compile writes may run"]
    if (job["voice"], job["speaker"]) != (entry["voice"], entry["speaker"]):
        return [".argv: asks for another voice or speaker than the entry"]
    return _folder_problems(entry, job, folder)


def _field_problems(entry: dict[str, object]) -> list[str]:
    problems = []
    for field, check in (("request_id", fields.request_id), ("output_name", fields.output_name)):
        try:
            if check(entry[field]) != entry[field] or entry[field] is None:
                problems.append(f".{field}: is blank or has space at its edges")
        except ValueError as error:
            problems.append(f".{field}: {error}")
    for field in ("deadline_seconds", "estimated_seconds"):
        value = entry[field]
        if type(value) not in (int, float) or not 0 < value < 1e9:  # type: ignore[operator]
            problems.append(f".{field}: must be a number of seconds above 0, not {fields.describe(value)}")
    if not isinstance(entry["content_hash"], str):
        problems.append(".content_hash: must be text")
    return problems


def _folder_problems(entry: dict[str, object], job: dict[str, object], folder: Path) -> list[str]:
    """Check what lies on the disk: the folder is inside, the text is the one the hash was made of."""
    out = folder / str(entry["output_name"])
    if Path(os.path.realpath(out)) != out:
        return [f".output_name: {out} is or lies under a link; remove the link"]
    path = out / "text.txt"
    try:
        text = path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        return [f": its text {path} cannot be read ({reason}); compile again"]
    if content_hash({**job, "text": text}) != entry["content_hash"]:
        return [f".content_hash: does not match argv and {path.name}; one of them was changed: compile again"]
    return []


def _whole_problems(manifest: dict[str, object], jobs: list[dict[str, object]]) -> list[str]:
    problems = []
    for field in ("output_name", "request_id"):
        seen: dict[object, int] = {}
        for row, entry in enumerate(jobs):
            if (first := seen.setdefault(entry[field], row)) != row:
                problems.append(f"jobs[{row}].{field}: {entry[field]!r} is that of jobs[{first}] too; compile again")
    if not problems and manifest.get("run_id") != run_id_of(jobs):
        problems.append("run_id: does not match the jobs; the manifest was changed: compile again")
    return problems
