"""Reading a file that a user named: size bound, encoding, and one clear message for whatever stands in the way.

Refuses to guess an encoding: UTF-8, with or without a byte-order mark, or UTF-16 or UTF-32 with one.
"""

from __future__ import annotations

import os

from lib.errors import InputError

MAX_FILE_BYTES = 32 * 1024 * 1024


def read_text(path: str | os.PathLike[str]) -> str:
    """Return the text of `path`, or raise InputError saying what is wrong with it."""
    data = _read_bytes(path)
    shown = shown_path(path)
    encoding = _encoding(data)
    if encoding == "utf-8-sig" and (nul := data.find(0)) >= 0:
        raise InputError(
            f"{shown}:{data.count(10, 0, nul) + 1}: byte {nul} is NUL: this is UTF-16 without a byte-order mark, "
            "or no text at all; save the file as UTF-8"
        )
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding == "utf-8-sig":
            offset = error.start
            line = data.count(b"\n", 0, offset) + 1
            raise InputError(
                f"{shown}:{line}: byte {offset} (0x{data[offset]:02x}) is not UTF-8; save the file as UTF-8"
            ) from None
        raise InputError(f"{shown}: byte {error.start} is not {encoding.upper()}; save the file as UTF-8") from None


def shown_path(path: str | os.PathLike[str]) -> str:
    """Return `path` as messages show it."""
    return os.fsdecode(path)


def _encoding(data: bytes) -> str:
    if data.startswith((b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff")):
        return "utf-32"
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    return "utf-8-sig"


def _read_bytes(path: str | os.PathLike[str]) -> bytes:
    shown = shown_path(path)
    if not shown:
        raise InputError("the file name is empty; name a file")
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - pathlib is not needed here, and costs start-up time
            size = os.fstat(file.fileno()).st_size
            if size > MAX_FILE_BYTES:
                raise InputError(_too_large(shown, f"has {size:,} bytes"))
            data = file.read(MAX_FILE_BYTES + 1)  # a pipe has no size beforehand
    except FileNotFoundError:
        raise InputError(f"{shown}: no such file; check the path") from None
    except IsADirectoryError:
        raise InputError(f"{shown}: is a folder; name a file in it") from None
    except PermissionError:
        raise InputError(f"{shown}: may not be read by this user; check its permissions") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{shown}: cannot be read ({reason}); check the path") from None
    if len(data) > MAX_FILE_BYTES:
        raise InputError(_too_large(shown, f"has more than {MAX_FILE_BYTES:,} bytes"))
    return data


def _too_large(shown: str, size: str) -> str:
    return f"{shown}: {size}, more than the limit of {MAX_FILE_BYTES:,}; split the file"
