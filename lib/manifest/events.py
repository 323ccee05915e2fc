"""events.jsonl: what an executor did, one JSON object a line, appended as it happens and read again after a crash.

A torn last line (the executor was killed, or the disk was full) costs that line only: the next one starts anew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

EVENTS = "events.jsonl"
EVENT_VERSION = 1
MAX_LINE_BYTES = 4 * 1024 * 1024

Event = dict[str, object]


def iso_now() -> str:
    """Return the time as ISO-8601 UTC with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class EventLog:
    """The appending end of a folder's events.jsonl."""

    def __init__(self, folder: Path, on_event: Callable[[Event], None] | None = None) -> None:
        self._on_event = on_event
        self._descriptor = os.open(
            folder / EVENTS, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644
        )
        self._torn = self._ends_torn()

    def __enter__(self) -> EventLog:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def append(self, event: str, **fields: object) -> Event:
        """Write one event; raises OSError when the disk is full."""
        line: Event = {"v": EVENT_VERSION, "event": event, "at": iso_now(), **fields}
        data = json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace") + b"\n"
        if self._torn:
            data = b"\n" + data
        self._torn = True  # until the whole line is written
        written = 0
        while written < len(data):
            written += os.write(self._descriptor, data[written:])
        self._torn = False
        if self._on_event is not None:
            self._on_event(line)
        return line

    def _ends_torn(self) -> bool:
        size = os.fstat(self._descriptor).st_size
        return size > 0 and os.pread(self._descriptor, 1, size - 1) != b"\n"


def read_events(folder: Path) -> Iterator[Event]:
    """Yield the events of a folder so far; lines that are torn or no event of this version are passed over."""
    try:
        file = (folder / EVENTS).open("rb")
    except FileNotFoundError:
        return
    with file:
        while line := file.readline(MAX_LINE_BYTES):
            try:
                event = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(event, dict) and event.get("v") == EVENT_VERSION:
                yield event
