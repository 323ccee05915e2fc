"""When a job that failed is tried again, and when not any more. Pure: the random number comes in as an argument."""

from __future__ import annotations

from dataclasses import dataclass

DELAYS_SECONDS = (30.0, 120.0, 600.0)
JITTER = 0.2
MAX_LOSSES = 10  # boxes, holders or spool files lost under one job, at no cost to its attempts
MAX_CRASHES = 3  # of which it was itself being spoken, alone


@dataclass(frozen=True, slots=True)
class Again:
    """Try again after `delay_seconds`."""

    delay_seconds: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Fail for good, as `error_type`."""

    error_type: str


def after_failure(
    *, permanent: bool, error_type: str, attempt: int, max_attempts: int, chance: float
) -> Again | GiveUp:
    """Decide on a job whose attempt failed. `attempt`: failed attempts before this one; `chance` in [0, 1)."""
    if permanent:
        return GiveUp(error_type)
    if attempt + 1 >= max_attempts:
        return GiveUp("transient_exhausted")
    delay = DELAYS_SECONDS[min(attempt, len(DELAYS_SECONDS) - 1)]
    return Again(delay * (1 + JITTER * (2 * chance - 1)))
