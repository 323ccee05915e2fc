"""From entries of the jobs stream to held jobs: parsed one by one, admitted by script, the unparsable set aside.

One broken entry never costs another: it becomes a failed record with its raw payload. Decides nothing about batches.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from lib.errors import InputError
from lib.jobqueue import fields
from lib.jobqueue.messages import Entry
from lib.jobqueue.records import failed_record
from lib.jobqueue.spec import content_hash, normalize_job_spec
from lib.jobqueue.store import JobStore
from lib.manifest.estimate import estimated_seconds
from watcher.decide import HeldJob
from watcher.held import Held
from watcher.observe import Observer

CALL_JOBS = 250  # of one call to a script: no other client waits for long
CALL_CHARACTERS = 4_000_000


@dataclass(frozen=True, slots=True)
class Parsed:
    """A job as its entry describes it. `spec`: the entry's own text, with the fields we do not know."""

    entry: str
    request_id: str
    content_hash: str
    spec: str
    voice: str | None
    speaker: str | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Unparsable:
    """An entry that is no job. `request_id`: '' where it does not even say that."""

    entry: str
    request_id: str
    error: str
    payload: object


def parse(entry: Entry) -> Parsed | Unparsable:
    """Read one entry; never raises."""
    text = entry.fields.get("job")
    if text is None:
        return Unparsable(entry.id, "", "the entry has no field job", entry.fields)
    try:
        text.encode("utf-8")
        raw = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        return Unparsable(entry.id, "", f"job is not JSON: {error}", text)
    if not isinstance(raw, dict):
        return Unparsable(entry.id, "", f"job is {fields.describe(raw)}, expected a mapping of fields", text)
    try:
        spec = normalize_job_spec(raw, strict=False)
        hash_ = content_hash(spec)
    except (InputError, ValueError, RecursionError) as error:
        return Unparsable(entry.id, _request_id(raw), "; ".join(str(error).splitlines()), text)
    seconds = estimated_seconds(spec["text"], spec["variants"])
    return Parsed(entry.id, spec["request_id"], hash_, text, spec["voice"], spec["speaker"], seconds)


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON number")


def _request_id(raw: dict[str, object]) -> str:
    """The request id of a job that is wrong otherwise, when that much of it can be used."""
    given = raw.get("request_id")
    if given is None and isinstance(raw.get("output_name"), str):
        given = str(raw["output_name"]).replace("/", ":")
    try:
        return str(fields.request_id(given) or "") if isinstance(given, str) else ""
    except ValueError:
        return ""


class Intake:
    """Admits entries this consumer holds."""

    def __init__(self, store: JobStore, held: Held, observer: Observer) -> None:
        self._store = store
        self._held = held
        self._observer = observer

    def take(self, entries: Sequence[Entry], now_ms: int) -> None:
        """Hold what is ours to dispatch or to lease; settle what is neither."""
        good: list[Parsed] = []
        bad: list[Unparsable] = []
        for entry in entries:
            one = parse(entry)
            if isinstance(one, Parsed):
                good.append(one)
            else:
                bad.append(one)
        if bad:
            self._reject(bad, now_ms)
        for part in _parts(good):
            self._admit(part)

    def _admit(self, jobs: Sequence[Parsed]) -> None:
        answers = self._store.admit([(job.entry, job.request_id, job.content_hash, job.spec) for job in jobs])
        held, elsewhere, ended = [], [], []
        for job, answer in zip(jobs, answers, strict=True):
            if answer.outcome == "held":
                held.append(
                    HeldJob(
                        job.request_id,
                        job.entry,
                        job.voice,
                        job.speaker,
                        job.seconds,
                        answer.queued_ms,
                        answer.alone,
                    )
                )
            elif answer.outcome == "elsewhere":
                elsewhere.append(job.entry)
            else:
                ended.append(job.entry)
        self._held.add(held)
        self._held.add_elsewhere(elsewhere)
        self._held.drop(ended)
        self._observer.admitted(Counter(answer.outcome for answer in answers))

    def _reject(self, bad: Sequence[Unparsable], now_ms: int) -> None:
        rows = []
        for one in bad:
            by_id, by_entry = (
                json.dumps(
                    failed_record(
                        key,
                        error_type="invalid_job",
                        stage="watcher",
                        error=one.error,
                        attempt=0,
                        failed_at=now_ms / 1000,
                        job=one.payload,
                    )
                )
                for key in (one.request_id or one.entry, one.entry)
            )
            rows.append((one.entry, one.request_id, by_id, by_entry))
        for at in range(0, len(rows), CALL_JOBS):
            keys = self._store.reject(rows[at : at + CALL_JOBS])
            for one, key in zip(bad[at : at + CALL_JOBS], keys, strict=True):
                self._observer.rejected(one.entry, key, one.error)
        self._held.drop(one.entry for one in bad)


def _parts(jobs: Iterable[Parsed]) -> Iterator[list[Parsed]]:
    """Cut into calls, bounded by the number of jobs and by their size."""
    part: list[Parsed] = []
    size = 0
    for job in jobs:
        if part and (len(part) >= CALL_JOBS or size + len(job.spec) > CALL_CHARACTERS):
            yield part
            part, size = [], 0
        part.append(job)
        size += len(job.spec)
    if part:
        yield part
