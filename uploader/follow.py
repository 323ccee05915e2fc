"""Failed and cancelled jobs for the disk sink's summaries: follows the queue's events from where it left off.

Writes only its own place in the events, and what the queue's final records say into the topics.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
from pathlib import Path

from lib.jobqueue.look import Look
from uploader.disk import translated, write_aside
from uploader.topic import OWN_FOLDER, Topics

logger = logging.getLogger(__name__)

_PAGE = 1000
_PAGES = 10
_MARKED = ("failed", "cancelled")
_ID = re.compile(r"\d{1,20}-\d{1,20}\Z")


class Follower:
    """The one reader of the events for a sink's folder: of several processes the first, by a lock."""

    def __init__(self, look: Look, topics: Topics) -> None:
        self._look = look
        self._topics = topics
        self._folder = topics.root / OWN_FOLDER
        self._lock: int | None = None
        self._cursor = ""

    def step(self) -> int:
        """Read what is new, bounded; returns how many events that were.

        Raises:
            QueueUnavailable, StorageUnavailable: nothing is lost, the same events come again.
        """
        with translated(self._folder):
            if not self._holds_lock():
                return 0
        seen = 0
        for _page in range(_PAGES):
            events = list(self._look.events(self._cursor, 1, _PAGE))
            if not events:
                break
            seen += len(events)
            named = (fields.get("request_id") for _, fields in events if fields.get("state") in _MARKED)
            self._mark([one for one in dict.fromkeys(named) if one is not None])  # others may write events too
            self._cursor = events[-1][0]
            if len(events) < _PAGE:
                break
        if seen:
            with translated(self._folder):
                write_aside(self._folder / "events-cursor", self._cursor.encode() + b"\n")
        return seen

    def close(self) -> None:
        """Let another process follow."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _mark(self, request_ids: list[str]) -> None:
        if request_ids:
            records = self._look.results(request_ids)
            # A job that was tried again meanwhile has no final record: its mark is left to what comes of it.
            self._topics.put([one for one in records if one and one.get("status") in _MARKED])

    def _holds_lock(self) -> bool:
        if self._lock is not None:
            return True
        self._folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._folder / "follow.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        try:
            self._cursor = _read(self._folder / "events-cursor")
            self._catch_up()
        except BaseException:
            os.close(descriptor)
            raise
        self._lock = descriptor
        return True

    def _catch_up(self) -> None:
        """The events are capped: where they no longer reach back to our place, the newest failures are looked at."""
        first = list(self._look.events("0-0", 1, 1))
        if self._cursor != "0-0" and first and _order(first[0][0]) > _order(self._cursor):
            logger.warning("events were missed; looking at the newest failures", extra={"after": self._cursor})
            self._topics.put(self._look.history(_PAGE, "failed"))


def _read(path: Path) -> str:
    text = path.read_text(encoding="ascii", errors="replace").strip() if path.exists() else "0-0"
    if _ID.match(text):
        return text
    logger.warning("unreadable place in the events; reading all there are", extra={"path": str(path)})
    return "0-0"


def _order(event_id: str) -> tuple[int, int]:
    at_ms, _, sequence = event_id.partition("-")
    return int(at_ms), int(sequence)
