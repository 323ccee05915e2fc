"""Things that happen later: one thread and a heap.

Owns the order of events that are due. An event that fails is a bug: whoever runs the scheduler is told, to end it all.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable


class Scheduler:
    """Calls functions when their time has come, in order, one after the other."""

    def __init__(self) -> None:
        self.on_failure: Callable[[], None] = lambda: None
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._stopped = False
        self._thread = threading.Thread(target=self._work, name="scheduler", daemon=True)

    def start(self) -> None:
        """Begin to call."""
        self._thread.start()

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        """Call `act` in `seconds` of real time."""
        with self._changed:
            heapq.heappush(self._heap, (time.monotonic() + max(0.0, seconds), next(self._numbers), act))
            self._changed.notify()

    def stop(self) -> None:
        """Call nothing any more; waits for the event at hand."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._stopped and (not self._heap or self._heap[0][0] > time.monotonic()):
                    self._changed.wait(self._heap[0][0] - time.monotonic() if self._heap else None)
                if self._stopped:
                    return
                _due, _number, act = heapq.heappop(self._heap)
            try:
                act()
            except BaseException:
                self.on_failure()
                raise
