"""What one field of a job may hold. Each check returns the normalised value or raises ValueError: `what; what to do`.

Pure, and cheap: a plan of 10,000 jobs passes here 100,000 times. Nothing is converted silently: a boolean is no
number, 2.7 is no whole number, a number is no text.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from lib.voices import SLUG_RE

Check = Callable[[object], object]

MAX_TEXT_CHARACTERS = 100_000
MAX_NOTE_CHARACTERS = 10_000
MAX_NAME_CHARACTERS = 100
MAX_REQUEST_ID_BYTES = 512
MAX_OUTPUT_NAME_BYTES = 900  # S3 takes 1,024 with prefix and file name
MAX_PART_BYTES = 255
MAX_VARIANTS = 99
MAX_INTEGER = 2**31 - 1

# What the manifest's folder and a job's own folder hold beside the jobs.
RESERVED_ROOTS = frozenset({"manifest.json", "events.jsonl", "execution.json", "executor.lock", "logs"})
RESERVED_PARTS = frozenset({"text.txt", "result.json", "takes.meta.json", "best.wav", "job.json"})
_TAKE = r"take_\d+\.wav"

# Compiled (and kept by re) where first needed: plain printable ASCII, the usual case, never does.
_BAD_IN_TEXT = r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]"
_BAD_IN_NAME = r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"


def describe(value: object) -> str:
    """Return what `value` is, for a message."""
    if isinstance(value, bool):
        return f"the boolean {str(value).lower()}"
    if isinstance(value, int | float):
        return f"the number {shorten(repr(value))}"
    if isinstance(value, str):
        return f"the text {shorten(repr(value))}"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "nothing"
    return f"a {type(value).__name__}"


def shorten(text: str, limit: int = 60) -> str:
    """Return `text` cut to `limit` characters."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def shown_name(name: object) -> str:
    """Return a field's name as a message may show it: short, and on one line."""
    plain = isinstance(name, str) and name and name.isprintable()
    return shorten(str(name) if plain else repr(name))


def _string(value: object) -> str:
    if type(value) is str:
        return value
    raise ValueError(f"must be text, not {describe(value)}; put it in quotes")


def _refuse_characters(bad: str, written: str) -> None:
    if written.isascii() and written.isprintable():
        return
    found = re.search(bad, written)
    if found:
        code = ord(found.group())
        kind = "half a surrogate pair" if 0xD800 <= code <= 0xDFFF else "the control character"
        raise ValueError(f"holds {kind} U+{code:04X} at character {found.start() + 1}; remove it")


def text(value: object) -> str:
    """Keep a narration as written."""
    written = _string(value)
    if not written.strip():
        raise ValueError("is blank; write the words to speak")
    if len(written) > MAX_TEXT_CHARACTERS:
        raise ValueError(f"has {len(written):,} characters, more than {MAX_TEXT_CHARACTERS:,}; split the job")
    _refuse_characters(_BAD_IN_TEXT, written)
    return written


def note(value: object) -> str | None:
    """Trim free text such as `instruct`; null when blank."""
    written = _string(value).strip()
    if len(written) > MAX_NOTE_CHARACTERS:
        raise ValueError(f"has {len(written):,} characters, more than {MAX_NOTE_CHARACTERS:,}; shorten it")
    _refuse_characters(_BAD_IN_TEXT, written)
    return written or None


def name(value: object) -> str | None:
    """Trim a short name such as `language`; null when blank."""
    written = _string(value).strip()
    if len(written) > MAX_NAME_CHARACTERS:
        raise ValueError(f"has {len(written):,} characters, more than {MAX_NAME_CHARACTERS}; shorten it")
    _refuse_characters(_BAD_IN_NAME, written)
    return written or None


def voice(value: object) -> str | None:
    """Trim a voice's slug; null when blank."""
    slug = name(value)
    if slug is not None and not SLUG_RE.fullmatch(slug):
        raise ValueError(f"{slug!r} is no voice slug; use at most 64 of a-z, 0-9, '-' and '_', first a letter or digit")
    return slug


def request_id(value: object) -> str | None:
    """Trim a request id; null when blank."""
    written = _string(value).strip()
    _refuse_characters(_BAD_IN_NAME, written)
    size = len(written.encode())
    if size > MAX_REQUEST_ID_BYTES:
        raise ValueError(f"has {size} bytes, more than {MAX_REQUEST_ID_BYTES}; give a shorter request_id")
    return written or None


def output_name(value: object) -> str | None:
    """Trim a relative folder name that is safe on disk, in S3 and in a manifest; null when blank."""
    written = _string(value).strip()
    _refuse_characters(_BAD_IN_NAME, written)
    if not written:
        return None
    if written[0] == "/":
        raise ValueError(f"{shorten(repr(written))} is absolute; use a relative name such as topic/beat-001")
    if written[-1] == "/":
        raise ValueError(f"{shorten(repr(written))} ends with '/'; remove it")
    if "\\" in written:
        raise ValueError(f"{shorten(repr(written))} holds a backslash; separate parts with '/'")
    if len(written) > MAX_OUTPUT_NAME_BYTES or len(written.encode()) > MAX_OUTPUT_NAME_BYTES:
        raise ValueError(f"has {len(written.encode())} bytes, more than {MAX_OUTPUT_NAME_BYTES}; shorten it")
    parts = written.split("/")
    if parts[0] in RESERVED_ROOTS:
        raise ValueError(f"begins with {parts[0]!r}, a name the manifest's folder needs itself; choose another")
    for position, part in enumerate(parts):
        _check_part(part, position)
    return written


def _check_part(part: str, position: int) -> None:
    if not part:
        raise ValueError("has an empty part ('//'); remove one '/'")
    if part in (".", ".."):
        raise ValueError(f"holds the part {part!r}; write the folder's own name")
    if part[0] == ".":
        raise ValueError(f"has a part that begins with a dot ({shorten(repr(part))}); remove the dot")
    if part != part.strip():
        raise ValueError(f"has a part with a space at its edge ({part!r}); remove the space")
    if len(part.encode()) > MAX_PART_BYTES:
        raise ValueError(f"has a part of {len(part.encode())} bytes, more than {MAX_PART_BYTES}; shorten it")
    if position and (part in RESERVED_PARTS or re.fullmatch(_TAKE, part)):
        raise ValueError(f"holds the part {part!r}, a file of a job's own folder; choose another")


def boolean(value: object) -> bool:
    """Accept true and false, nothing else."""
    if type(value) is bool:
        return value
    raise ValueError(f"must be true or false, not {describe(value)}; write it without quotes")


def integer(least: int, most: int = MAX_INTEGER, *, whole_floats: bool = False) -> Check:
    """Return a check for whole numbers from `least` to `most`."""

    def check(value: object) -> int:
        if whole_floats and type(value) is float and value.is_integer():
            value = int(value)
        if type(value) is not int:
            raise ValueError(f"must be a whole number, not {describe(value)}; write one from {least} to {most}")
        if not least <= value <= most:
            raise ValueError(f"is {shorten(_digits(value))}; write a whole number from {least} to {most}")
        return value

    return check


def _digits(value: int) -> str:
    return str(value) if value.bit_length() < 1000 else "a number of hundreds of digits"


def number(wanted: str, fits: Callable[[float], bool]) -> Check:
    """Return a check for finite numbers that `fits` accepts; `wanted` describes them."""

    def check(value: object) -> float:
        if type(value) is not float and type(value) is not int:
            raise ValueError(f"must be a number, not {describe(value)}; write {wanted}")
        try:
            real = float(value) + 0.0  # no -0.0: it would hash apart from 0.0
        except OverflowError:
            raise ValueError(f"is too large; write {wanted}") from None
        if real != real or real in (float("inf"), float("-inf")):  # NaN differs from itself
            raise ValueError(f"is {real}, not a finite number; write {wanted}")
        if not fits(real):
            raise ValueError(f"is {real:g}; write {wanted}")
        return real

    return check


def moment(value: object) -> str | None:
    """Accept an ISO-8601 time, as text or as YAML's own timestamp."""
    if type(value) is str:
        written = value.strip()
        if not written:
            return None
        from datetime import datetime

        try:
            datetime.fromisoformat(written)
        except ValueError:
            raise ValueError(f"{shorten(repr(written))} is no time; write it like 2026-01-31T12:00:00Z") from None
        return written
    isoformat = getattr(value, "isoformat", None)
    if isoformat is None:
        raise ValueError(f"must be a time, not {describe(value)}; write it like 2026-01-31T12:00:00Z")
    return str(isoformat())


def tolerant_moment(value: object) -> str | None:
    """Keep whatever text another program wrote."""
    return value.strip() or None if type(value) is str else moment(value)
