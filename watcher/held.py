"""What this watcher holds: undispatched jobs by voice, and the entries whose jobs are in a batch or an upload.

In memory only, and all of it can be rebuilt from Redis. Safe between the loop's thread and the renewer's. Refuses to
keep anything about a job whose entry was lost.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping

from watcher.decide import HeldJob, Voice


class Held:
    """Undispatched jobs and leased entries."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._by_entry: dict[str, HeldJob] = {}
        self._by_voice: dict[Voice, dict[str, HeldJob]] = {}
        self._elsewhere: set[str] = set()

    @property
    def undispatched(self) -> int:
        return len(self._by_entry)

    @property
    def elsewhere(self) -> int:
        return len(self._elsewhere)

    def voices(self) -> Mapping[Voice, Collection[HeldJob]]:
        """The undispatched jobs by voice; for the thread that changes them."""
        return {voice: jobs.values() for voice, jobs in self._by_voice.items()}

    def add(self, jobs: Iterable[HeldJob]) -> None:
        """Hold undispatched jobs; one that is held already stays as it is."""
        with self._mutex:
            for job in jobs:
                if job.entry not in self._by_entry:
                    self._by_entry[job.entry] = job
                    self._by_voice.setdefault((job.voice, job.speaker), {})[job.entry] = job
                    self._elsewhere.discard(job.entry)

    def add_elsewhere(self, entries: Iterable[str]) -> None:
        """Hold the leases of entries whose jobs are in a batch or an upload already."""
        with self._mutex:
            for entry in entries:
                self._remove(entry)
                self._elsewhere.add(entry)

    def drop(self, entries: Iterable[str]) -> None:
        """Forget entries: settled, lost, or no longer what we thought."""
        with self._mutex:
            for entry in entries:
                self._remove(entry)
                self._elsewhere.discard(entry)

    def known(self) -> set[str]:
        """Every entry held at this moment, as a set of the caller's own."""
        with self._mutex:
            return self._elsewhere.union(self._by_entry)

    def is_undispatched(self, entry: str) -> bool:
        return entry in self._by_entry

    def is_known(self, entry: str) -> bool:
        return entry in self._by_entry or entry in self._elsewhere

    def clear(self) -> None:
        """Forget everything: the lock is another's."""
        with self._mutex:
            self._by_entry.clear()
            self._by_voice.clear()
            self._elsewhere.clear()

    def _remove(self, entry: str) -> None:
        job = self._by_entry.pop(entry, None)
        if job is not None:
            line = self._by_voice[(job.voice, job.speaker)]
            del line[entry]
            if not line:
                del self._by_voice[(job.voice, job.speaker)]
