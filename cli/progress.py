"""A progress bar on standard error: only on a terminal, only once the work has taken longer than a second."""

from __future__ import annotations

import os
import sys
import time

from cli import console

SHOW_AFTER_SECONDS = 1.0
REDRAW_SECONDS = 0.1
BAR_COLUMNS = 24


class Progress:
    """Counts steps; draws while it is used as a context, and wipes its line at the end."""

    def __init__(self, total: int, what: str) -> None:
        self.total = total
        self._what = what
        self._done = 0
        self._started = self._drawn = time.monotonic()
        self._visible = False
        self._wanted = console.is_terminal(sys.stderr) and os.environ.get("TERM") != "dumb"

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def step(self, count: int = 1, note: str = "") -> None:
        """Count `count` more as done and redraw where it is time."""
        self._done += count
        self.draw(note)

    def draw(self, note: str = "") -> None:
        """Redraw the bar, at most ten times a second."""
        now = time.monotonic()
        if not self._wanted or now - self._started < SHOW_AFTER_SECONDS or now - self._drawn < REDRAW_SECONDS:
            return
        from cli.render import clean, truncate

        self._drawn = now
        self._visible = True
        line = f"{self._what} {bar(self._done, self.total)} {self._done}/{self.total} {clean(note)}".rstrip()
        width = (console.terminal_width(sys.stderr) or console.DEFAULT_WIDTH) - 1
        sys.stderr.write("\r\x1b[K" + truncate(line, width))
        sys.stderr.flush()

    def clear(self) -> None:
        """Wipe the bar, so that the next line starts at the margin."""
        if self._visible:
            self._visible = False
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def bar(done: int, total: int, columns: int = BAR_COLUMNS) -> str:
    """Return `[#####-----]` for `done` of `total`."""
    filled = columns if total <= 0 else min(columns, columns * done // total)
    return "[" + "#" * filled + "-" * (columns - filled) + "]"
