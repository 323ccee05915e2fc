"""Times for people: when something happened and how long ago, from whatever form a record holds. Pure."""

from __future__ import annotations

from datetime import UTC, datetime


def unix_of(value: object) -> float | None:
    """Return unix seconds of an ISO-8601 text or a number; None when it is neither."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        seconds = float(value)
        return seconds if 0 <= seconds < 1e11 else None
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value.strip())
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def iso_of_ms(value: object) -> object:
    """Return unix milliseconds as ISO-8601 UTC; anything else as it is."""
    if isinstance(value, bool) or not isinstance(value, int | float) or unix_of(value / 1000) is None:
        return value
    return datetime.fromtimestamp(value / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def ago(value: object, now_unix: float) -> str:
    """Return `12 s ago`; an empty string when `value` is no time."""
    then = unix_of(value)
    if then is None:
        return ""
    seconds = round(now_unix - then)
    if seconds < -5:
        return "in the future"
    return f"{span(max(0, seconds))} ago"


def span(seconds: float) -> str:
    """Return a length of time in its two largest units: `8 s`, `3 min 12 s`, `2 h 05 min`, `4 d 3 h`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02d} min"
    return f"{hours // 24} d {hours % 24} h"
