"""The disk sink's `job.json`, one for each topic: which beats are done and which failed, as they come.

Owns `<topic>/job.json` and, for topics too large to be rewritten for every batch, the journal `<topic>/.job.jsonl`
that is written first and folded in a moment later. What is put is on the disk when `put` returns. A `job.json` that
cannot be read is kept aside, and rebuilt from its own whole lines and the queue's records.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from uploader.beats import (
    Beat,
    TopicFacts,
    beat_of,
    facts_of,
    named,
    output_name_of,
    parse,
    parse_lines,
    render,
    topic_of,
)
from uploader.disk import read_note, translated, write_aside

logger = logging.getLogger(__name__)

OWN_FOLDER = ".uploader"
_CACHED_TOPICS = 32
_QUICK_SECONDS = 0.05  # a job.json that takes longer to write is not rewritten for every batch,
_REST = 10  # but rests for so many times its own writing time
_Signature = tuple[tuple[int, int], int]

Records = Callable[[Sequence[str]], list[dict[str, Any] | None]]


@dataclass(slots=True)
class _Topic:
    name: str
    folder: Path
    facts: TopicFacts = field(default_factory=TopicFacts)
    beats: dict[str, Beat] = field(default_factory=dict)
    dirty: bool = False
    due: float = 0.0  # monotonic: not rewritten before
    signature: _Signature | None = None

    @property
    def file(self) -> Path:
        return self.folder / "job.json"

    @property
    def journal(self) -> Path:
        return self.folder / ".job.jsonl"

    def on_disk(self) -> _Signature:
        """What tells this state of the files from another process's."""
        stat = self.file.stat() if self.file.exists() else None
        size = self.journal.stat().st_size if self.journal.exists() else 0
        return ((stat.st_ino, stat.st_mtime_ns) if stat else (0, 0), size)


class Topics:
    """The topics below one folder. For one thread; processes that share the folder take turns by a lock."""

    def __init__(self, root: Path, records: Records, clock: Callable[[], float] = time.monotonic) -> None:
        self.root = root.absolute()
        self._records = records
        self._clock = clock
        self._topics: OrderedDict[str, _Topic] = OrderedDict()

    def put(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Note final records in their topics; those without a safe output_name are left out.

        Raises:
            StorageUnavailable, StoreClosed
        """
        by_topic: dict[str, list[Mapping[str, Any]]] = {}
        for record in records:
            output_name = output_name_of(record)
            if output_name is not None and _writable(output_name):
                by_topic.setdefault(topic_of(output_name), []).append(record)
            else:
                logger.warning("in no topic: no safe output_name", extra={"request_id": record.get("request_id")})
        if not by_topic:
            return
        with translated(self.root), self._locked():
            for name, group in by_topic.items():
                try:
                    self._put(self._open(name), group)
                except BaseException:
                    self._topics.pop(name, None)  # what could not be written must not be remembered as written
                    raise
            self._forget_old()

    def correct(self, beats: Mapping[str, tuple[str, dict[str, Any] | None]]) -> None:
        """Hold request id -> (output_name, what the queue says) against the files; what is not final goes out."""
        final = [
            record for _, record in beats.values() if record and record.get("status") in ("done", "failed", "cancelled")
        ]
        self.put(final)
        kept = {record["request_id"] for record in final}
        with translated(self.root), self._locked():
            for request_id, (output_name, _) in beats.items():
                if request_id in kept or not _writable(output_name):
                    continue
                topic = self._open(topic_of(output_name))
                if topic.beats.pop(request_id, None) is not None:
                    self._write(topic)

    def flush(self, *, all_of_them: bool = False) -> None:
        """Fold journals whose time has come into their job.json."""
        due = [one for one in self._topics.values() if one.dirty and (all_of_them or self._clock() >= one.due)]
        if not due:
            return
        with translated(self.root), self._locked():
            for topic in due:
                again = self._open(topic.name)
                if again.dirty:
                    self._write(again)

    def _put(self, topic: _Topic, records: Sequence[Mapping[str, Any]]) -> None:
        fresh, before = [], topic.facts
        for record in records:
            beat = beat_of(record, topic.folder)
            facts = topic.facts.updated(facts_of(record))
            if beat is None or (topic.beats.get(beat.request_id) == beat and facts == topic.facts):
                continue
            topic.beats[beat.request_id] = beat
            topic.facts = facts
            fresh.append(beat)
        if not fresh:
            return
        if self._clock() >= topic.due or topic.facts != before or not topic.file.exists():
            self._write(topic)
        else:
            self._append(topic, fresh)

    def _append(self, topic: _Topic, beats: Sequence[Beat]) -> None:
        with topic.journal.open("ab") as file:
            # The line break comes first: a line that a crash has torn does not spoil the next one.
            file.write(b"".join(b"\n" + beat.line.encode() + b"\n" for beat in beats))
            file.flush()
            os.fsync(file.fileno())
        topic.dirty = True
        topic.signature = topic.on_disk()

    def _write(self, topic: _Topic) -> None:
        started = self._clock()
        topic.folder.mkdir(parents=True, exist_ok=True)
        write_aside(topic.file, render(topic.name, topic.facts, topic.beats.values()))
        topic.journal.unlink(missing_ok=True)
        topic.dirty = False
        took = self._clock() - started
        topic.due = self._clock() + (_REST * took if took > _QUICK_SECONDS else 0.0)
        topic.signature = topic.on_disk()

    def _open(self, name: str) -> _Topic:
        topic = self._topics.get(name)
        if topic is None or topic.signature != topic.on_disk():
            topic = self._load(name)
            self._topics[name] = topic
        self._topics.move_to_end(name)
        return topic

    def _load(self, name: str) -> _Topic:
        topic = _Topic(name, self.root / name)
        if topic.file.exists():
            text = topic.file.read_text(encoding="utf-8", errors="replace")
            try:
                topic.facts, topic.beats = parse(text)
            except ValueError as error:
                self._rebuild(topic, text, error)
        if topic.journal.exists():
            journal = parse_lines(topic.journal.read_text(encoding="utf-8", errors="replace"))
            topic.beats.update(journal)
            topic.dirty = True
        topic.signature = topic.on_disk()
        return topic

    def _rebuild(self, topic: _Topic, text: str, error: ValueError) -> None:
        """Keep the unreadable file aside, and take from it and from the queue's records what there is."""
        aside = topic.folder / f"job.json.broken-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{os.getpid()}"
        topic.beats = parse_lines(text)
        known = dict.fromkeys([*named(text), *topic.beats, *self._stored(topic.folder)])
        for request_id, record in zip(known, self._records(list(known)), strict=True):
            output_name = output_name_of(record) if record else None
            if record and output_name and topic_of(output_name) == topic.name:
                beat = beat_of(record, topic.folder)
                if beat is not None:
                    topic.beats[request_id] = beat
                    topic.facts = topic.facts.updated(facts_of(record))
        topic.file.rename(aside)
        self._write(topic)
        missing = sorted(set(known) - set(topic.beats))
        logger.error(
            "unreadable job.json: kept aside and rebuilt",
            extra={
                "path": str(topic.file),
                "kept_as": aside.name,
                "reason": str(error),
                "beats": len(topic.beats),
                "not_recovered": missing[:50],
            },
        )

    def _stored(self, folder: Path) -> Iterator[str]:
        """Request ids of the jobs whose files lie in this topic."""
        for place in (folder, *(one for one in folder.iterdir() if one.is_dir())):
            request_id = read_note(place).get("request_id")
            if isinstance(request_id, str):
                yield request_id

    def _forget_old(self) -> None:
        while len(self._topics) > _CACHED_TOPICS:
            name, topic = next(iter(self._topics.items()))
            if topic.dirty:
                self._write(topic)
            del self._topics[name]

    @contextmanager
    def _locked(self) -> Iterator[None]:
        (self.root / OWN_FOLDER).mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.root / OWN_FOLDER / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _writable(output_name: str) -> bool:
    """Whether this name's topic can be a folder here."""
    return not any(
        part == "job.json" or part.startswith(".") or len(part.encode()) > 255 for part in output_name.split("/")
    )
