"""The jobs of a claimed batch to job specs that can lie side by side in one folder. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field as made

from lib.errors import InputError
from lib.jobqueue import fields
from lib.jobqueue.messages import ClaimedJob
from lib.jobqueue.spec import JobSpec, content_hash, normalize_job_spec


@dataclass(slots=True)
class Prepared:
    """`specs`: ready to compile. `bad`: request id -> what is wrong. `apart`: their folder clashes with one kept."""

    specs: dict[str, JobSpec] = made(default_factory=dict)
    bad: dict[str, str] = made(default_factory=dict)
    apart: list[str] = made(default_factory=list)


def prepare(jobs: Sequence[ClaimedJob]) -> Prepared:
    """Sort the jobs of a batch. Two producers may have used one output_name: only one of them fits in here."""
    prepared = Prepared()
    folders: set[str] = set()
    parents: set[str] = set()
    for job in jobs:
        try:
            spec = read_spec(job)
        except InputError as error:
            prepared.bad[job.request_id] = str(error)
            continue
        folder = spec["output_name"]
        above = _parents(folder)
        if folder in folders or folder in parents or above & folders:
            prepared.apart.append(job.request_id)
            continue
        folders.add(folder)
        parents |= above
        prepared.specs[job.request_id] = spec
    return prepared


def read_spec(job: ClaimedJob) -> JobSpec:
    """Return the normalised spec of a claimed job; raises InputError."""
    try:
        raw = json.loads(job.spec)
    except (ValueError, RecursionError) as error:
        raise InputError(f"the stored spec is not JSON: {error}") from error
    if not isinstance(raw, dict):
        raise InputError("the stored spec is no JSON object")
    spec = normalize_job_spec(raw, strict=False)
    if not _plain(job.request_id):  # the executor would refuse the manifest, and with it every other job
        raise InputError("request_id: holds characters or space that no request id may hold; enqueue it under another")
    spec["request_id"] = job.request_id  # the row's: records and events are keyed by it
    spec["content_hash"] = content_hash(spec)
    return spec


def _plain(request_id: str) -> bool:
    try:
        return fields.request_id(request_id) == request_id
    except ValueError:
        return False


def original(job: ClaimedJob) -> object:
    """Return a job's spec as its producer wrote it, for a failed record."""
    try:
        return json.loads(job.spec)
    except (ValueError, RecursionError):
        return job.spec


def _parents(folder: str) -> set[str]:
    parts = folder.split("/")
    return {"/".join(parts[:end]) for end in range(1, len(parts))}
