"""A producer's side of the queue: normalised jobs to accepted ones, in calls of a bounded size.

Everything is serialised before the first call, so that nothing is sent of a list that cannot be sent whole. Holds no
opinion about what to do when Redis goes away in the middle: it tells how far it came.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from lib.errors import JobRunnerError, QueueCorrupt, QueueFull, QueueRefused, QueueUnavailable
from lib.jobqueue.records import iso
from lib.jobqueue.spec import JobSpec, content_hash
from lib.jobqueue.store import ENQUEUE_JOBS, JobStore

CALL_CHARACTERS = 4_000_000

Wire = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one job. `known_hash`: the content hash that this request id had already, '' when unknown."""

    request_id: str
    status: str
    content_hash: str
    known_hash: str

    @property
    def changed(self) -> bool:
        """The request id is known with another content: what is queued or done is not what was asked for now."""
        return self.status != "queued" and self.known_hash not in ("", self.content_hash)


@dataclass(frozen=True, slots=True)
class Sent:
    """How far it came: answers in the order of the jobs, and what stopped it. `in_doubt`: jobs without an answer that
    Redis may have accepted all the same; sending them again is safe.
    """

    answers: list[Answer]
    error: JobRunnerError | None = None
    in_doubt: int = 0


def spec_json(spec: Mapping[str, object]) -> str:
    """Return a spec as it travels: compact, sorted, ASCII, so that the same job is the same bytes everywhere."""
    return json.dumps(spec, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def serialise(specs: Sequence[JobSpec], queued_at_unix: float) -> list[Wire]:
    """Return (request id, content hash, JSON) of each job; `queued_at` is set where the job does not say it."""
    queued_at = iso(queued_at_unix)
    wires = []
    for spec in specs:
        hash_ = content_hash(spec)
        full = {**spec, "content_hash": hash_, "attempt": 0, "queued_at": spec["queued_at"] or queued_at}
        wires.append((spec["request_id"], hash_, spec_json(full)))
    return wires


def send(store: JobStore, jobs: Sequence[Wire], progress: Callable[[int], None] = lambda _count: None) -> Sent:
    """Enqueue serialised jobs; `progress` is told how many each call brought home."""
    answers: list[Answer] = []
    for part in _parts(jobs):
        try:
            statuses = store.enqueue(part)
        except (QueueFull, QueueRefused, QueueCorrupt) as error:  # the script refused before its first write
            return Sent(answers, error)
        except QueueUnavailable as error:
            return Sent(answers, error, len(part))
        answers += [
            Answer(id_, status, hash_, known) for (id_, hash_, _), (status, known) in zip(part, statuses, strict=True)
        ]
        progress(len(part))
    return Sent(answers)


def _parts(jobs: Sequence[Wire]) -> list[list[Wire]]:
    """Cut into calls, bounded by the number of jobs and by their size."""
    parts: list[list[Wire]] = []
    size = 0
    for job in jobs:
        if not parts or len(parts[-1]) >= ENQUEUE_JOBS or size + len(job[2]) > CALL_CHARACTERS:
            parts.append([])
            size = 0
        parts[-1].append(job)
        size += len(job[2])
    return parts


def known_hash(answer: Mapping[str, object] | None) -> str:
    """The content hash in what `Look.results` says of a request; '' when it says none."""
    if answer is None:
        return ""
    job = answer.get("job")
    for holder in (answer, job if isinstance(job, Mapping) else {}):
        value = holder.get("content_hash")
        if isinstance(value, str) and value:
            return value
    return ""
