"""Following an executor's events.jsonl: bytes from a box to events, at an offset. Pure but for the offset it keeps.

Whole lines only: a line being written is read again next time, one that was torn by a crash is passed over. Every value
is checked, because a box may write anything; what is no event of this version is nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from lib.errors import BadArtefact

MAX_LINE_BYTES = 4 * 1024 * 1024
MAX_MESSAGE_CHARACTERS = 2000

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_TYPE = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")


def clean(text: object, limit: int = MAX_MESSAGE_CHARACTERS) -> str:
    """Return text of a box as people may be shown it: no control characters, not without end."""
    return _CONTROL.sub("", str(text))[:limit].strip()


@dataclass(frozen=True, slots=True)
class Started:
    """A job's synthesis has begun."""

    request_id: str
    at: str | None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job failed. `permanent` only where the job's own result said so."""

    error_type: str
    permanent: bool
    message: str


@dataclass(frozen=True, slots=True)
class Finished:
    """A job has ended; `failure` is None when it says it is done."""

    request_id: str
    at: str | None
    seconds: float
    failure: Failure | None


@dataclass(frozen=True, slots=True)
class ExecutorStarted:
    """An executor took the batch up."""


@dataclass(frozen=True, slots=True)
class ExecutorFinished:
    """The executor has nothing left to do."""


Event = Started | Finished | ExecutorStarted | ExecutorFinished


class Follower:
    """Turns what is read at `offset` into events, and moves the offset past whole lines."""

    def __init__(self) -> None:
        self.offset = 0

    def feed(self, data: bytes) -> list[Event]:
        """Take bytes that were read at `offset`.

        Raises:
            BadArtefact: a line without end.
        """
        whole = data.rfind(b"\n") + 1
        if not whole and len(data) > MAX_LINE_BYTES:
            raise BadArtefact(f"events.jsonl holds a line of more than {MAX_LINE_BYTES} bytes")
        self.offset += whole
        return list(parse_lines(data[:whole]))


def parse_lines(data: bytes) -> Iterator[Event]:
    """Yield the events in whole lines."""
    for line in data.split(b"\n"):
        try:
            raw = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(raw, dict) and raw.get("v") == 1:
            event = _event(raw)
            if event is not None:
                yield event


def _event(raw: dict[str, object]) -> Event | None:
    kind, request_id = raw.get("event"), raw.get("request_id")
    if kind == "executor_started":
        return ExecutorStarted()
    if kind == "executor_finished":
        return ExecutorFinished()
    if not isinstance(request_id, str):
        return None
    if kind == "job_started":
        return Started(request_id, _moment(raw.get("at")))
    if kind == "job_finished":
        failure = None if raw.get("status") == "done" else _failure(raw)
        return Finished(request_id, _moment(raw.get("at")), _seconds(raw.get("seconds")), failure)
    return None


def _failure(raw: dict[str, object]) -> Failure:
    error = raw.get("error")
    if not isinstance(error, dict):
        return Failure("no_result", False, f"ended as {clean(raw.get('status'), 40)} without saying why")
    kind = error.get("type")
    error_type = kind if isinstance(kind, str) and _TYPE.match(kind) else "unknown_error"
    return Failure(error_type, error.get("class") == "permanent", clean(error.get("message", "")))


def _seconds(value: object) -> float:
    good = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e9
    return float(value) if good else 0.0  # type: ignore[arg-type]  # just checked


def _moment(value: object) -> str | None:
    if not isinstance(value, str) or len(value) > 40:
        return None
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return None
    return value
