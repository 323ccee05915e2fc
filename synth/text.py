"""Getting the text: from an option or a file, as exact bytes and as what an engine may be given."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from lib.errors import InputError

MAX_TEXT_BYTES = 1024 * 1024

_DROPPED = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0), 0xFEFF))
del _DROPPED[ord("\n")], _DROPPED[ord("\t")]


class Text(NamedTuple):
    """`raw` is kept as written for text.txt; `spoken` has no control characters."""

    raw: bytes
    spoken: str


def read_text(path: str) -> Text:
    """Read a UTF-8 text file of at most one MiB."""
    try:
        with Path(path).open("rb") as file:
            raw = file.read(MAX_TEXT_BYTES + 1)
    except OSError as error:
        raise InputError(f"cannot read the text file {path}: {error.strerror or error}") from error
    return check_text(raw, f"the text file {path}")


def check_text(raw: bytes, where: str) -> Text:
    """Return the text, or raise InputError that says what is wrong with it."""
    if len(raw) > MAX_TEXT_BYTES:
        raise InputError(f"{where} is larger than {MAX_TEXT_BYTES} bytes: split it into several jobs")
    try:
        decoded = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{where} is not UTF-8: byte {error.start} is 0x{raw[error.start]:02x}; save it as UTF-8"
        ) from error
    spoken = clean(decoded)
    if not spoken.strip():
        raise InputError(f"{where} is empty")
    return Text(raw, spoken)


def clean(text: str) -> str:
    """Return the text without control characters: a NUL would end it early in C, an escape is never spoken."""
    return text.replace("\r\n", "\n").replace("\r", "\n").translate(_DROPPED)
