"""One line of a topic's `job.json`: made from a final record, and read back from a file that may be torn. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from uploader.plan import safe_output_name

FINAL = ("done", "failed", "cancelled")
_MAX_TEXT = 300
_REQUEST_ID = re.compile(r'"request_id":\s*("(?:[^"\\\n]|\\.)*")')


@dataclass(frozen=True, slots=True)
class Beat:
    """What a topic's summary says of one job. `line` is its JSON."""

    request_id: str
    output_name: str
    status: str
    line: str


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """What the producer said about a topic, taken from callback_data."""

    title: str | None = None
    total_beats: int | None = None

    def updated(self, other: TopicFacts) -> TopicFacts:
        """The same, with what `other` knows put on top."""
        return TopicFacts(
            self.title if other.title is None else other.title,
            self.total_beats if other.total_beats is None else other.total_beats,
        )


def topic_of(output_name: str) -> str:
    """The topic's folder: everything but the last part; a name of one part is its own topic."""
    head, _, last = output_name.rpartition("/")
    return head or last


def output_name_of(record: Mapping[str, Any]) -> str | None:
    """The output_name of a final record, or None where it has no safe one."""
    name = record.get("output_name")
    job = record.get("job")
    if name is None and isinstance(job, Mapping):
        name = job.get("output_name")
    return str(name) if safe_output_name(name) else None


def facts_of(record: Mapping[str, Any]) -> TopicFacts:
    """Title and total of the topic, as far as callback_data says so plainly."""
    data = _callback(record)
    title, total = data.get("topic_title"), data.get("total_beats")
    return TopicFacts(
        title if isinstance(title, str) and title.strip() else None,
        total if type(total) is int and total >= 0 else None,
    )


def beat_of(record: Mapping[str, Any], topic_folder: PurePath) -> Beat | None:
    """Make the beat of a final record; None where it is none, or belongs to no folder."""
    output_name, status = output_name_of(record), record.get("status")
    request_id = record.get("request_id")
    if output_name is None or status not in FINAL or not isinstance(request_id, str):
        return None
    beat: dict[str, Any] = {"request_id": request_id, "output_name": output_name, "status": status}
    beat["beat_id"] = _plain(_callback(record).get("beat_id"))
    beat["attempt"] = record.get("attempt")
    if status == "done":
        outputs = record.get("outputs")
        outputs = outputs if isinstance(outputs, Mapping) else {}
        takes = outputs.get("takes")
        beat["best"] = _relative(outputs.get("best"), topic_folder)
        beat["takes"] = [_relative(one, topic_folder) for one in takes] if isinstance(takes, list) else []
        beat["audio_seconds"] = record.get("audio_seconds")
        beat["completed_at"] = record.get("completed_at")
    else:
        beat["error_type"] = _plain(record.get("error_type"))
        beat["stage"] = _plain(record.get("stage"))
        beat["error"] = _plain(record.get("error"))
        beat["failed_at"] = record.get("failed_at")
    return Beat(request_id, output_name, status, json.dumps(beat))


def render(topic: str, facts: TopicFacts, beats: Iterable[Beat]) -> bytes:
    """The text of a job.json: one beat a line, so that a torn file gives back every whole line."""
    ordered = sorted(beats, key=lambda beat: (beat.output_name, beat.request_id))
    count = {status: sum(1 for beat in ordered if beat.status == status) for status in FINAL}
    head = {"job_version": 1, "topic": topic, "topic_title": facts.title, "total_beats": facts.total_beats, **count}
    lines = ",\n".join(f"  {beat.line}" for beat in ordered)
    fields = "".join(f" {json.dumps(name)}: {json.dumps(value)},\n" for name, value in head.items())
    return f'{{\n{fields} "beats": [\n{lines}\n ]\n}}\n'.encode()


def parse(text: str) -> tuple[TopicFacts, dict[str, Beat]]:
    """Read a job.json; raises ValueError where it is none."""
    whole = json.loads(text)
    if not isinstance(whole, dict) or whole.get("job_version") != 1 or not isinstance(whole.get("beats"), list):
        raise ValueError("no job.json of version 1")
    beats = [_beat(one) for one in whole["beats"]]
    if None in beats:
        raise ValueError("one of its beats has no request_id, output_name or status")
    facts = facts_of({"callback_data": whole})
    return facts, {beat.request_id: beat for beat in beats if beat is not None}


def parse_lines(text: str) -> dict[str, Beat]:
    """Read every whole beat of a journal, or of a torn job.json; the last of a request counts."""
    found = {}
    for line in text.splitlines():
        try:
            beat = _beat(json.loads(line.strip().rstrip(",")))
        except ValueError:
            continue  # not a beat's line, or torn: `named` still finds its request
        if beat is not None:
            found[beat.request_id] = beat
    return found


def named(text: str) -> list[str]:
    """Every request id that a torn file still names."""
    return list(dict.fromkeys(str(json.loads(one)) for one in _REQUEST_ID.findall(text) if _is_json(one)))


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _beat(raw: object) -> Beat | None:
    if not isinstance(raw, dict):
        return None
    request_id, name, status = (raw.get(field) for field in ("request_id", "output_name", "status"))
    if not isinstance(request_id, str) or not isinstance(name, str) or status not in FINAL:
        return None
    return Beat(request_id, name, status, json.dumps(raw))


def _callback(record: Mapping[str, Any]) -> Mapping[str, Any]:
    data = record.get("callback_data")
    job = record.get("job")
    if data is None and isinstance(job, Mapping):
        data = job.get("callback_data")
    return data if isinstance(data, Mapping) else {}


def _plain(value: object) -> str | int | float | None:
    if isinstance(value, str):
        return value[:_MAX_TEXT]
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _relative(path: object, folder: PurePath) -> str | None:
    if not isinstance(path, str):
        return None
    return PurePath(path).relative_to(folder).as_posix() if PurePath(path).is_relative_to(folder) else path
