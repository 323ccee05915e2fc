"""The simulator's two kinds of time.

Owns the wall clock (dates, and what is billed: real seconds) and the division of waiting times by `speed` (booting,
lateness, pacing limits, how long a fault lasts). It refuses to bill sped-up time, so that a client's own ledger and
the simulator's agree whatever the speed.
"""

from __future__ import annotations

import time


class Clock:
    """Now, and how long a wait of the real marketplace lasts here."""

    def __init__(self, speed: float = 1.0) -> None:
        self.speed = speed
        self._epoch_seconds = time.time() - time.monotonic()

    def now(self) -> float:
        """Seconds since 1970; steps of the machine's clock do not move it."""
        return self._epoch_seconds + time.monotonic()

    def shortened(self, seconds: float) -> float:
        """What a wait of `seconds` lasts at this speed."""
        return seconds / self.speed
