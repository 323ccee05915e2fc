"""Where the command line touches the terminal: writing lines, its width, whether it takes colours. Formats nothing.

Free of heavy imports on purpose (`shutil` alone would cost a tenth of the start-up budget).
"""

from __future__ import annotations

import io
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

DEFAULT_WIDTH = 80
MIN_WIDTH = 40


def open_streams() -> None:
    """Make standard output and error usable.

    A stream that was closed before we began (`>&-`) gets somewhere to go. With PYTHONUNBUFFERED standard output is a
    raw file, which silently drops what a partial write left over: on a full disk half a JSON would pass as success.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 - lives as long as we
    stream = sys.stdout
    ours = stream is sys.__stdout__  # not one that somebody put in its place
    if ours and isinstance(stream, io.TextIOWrapper) and isinstance(stream.buffer, io.FileIO):
        encoding, errors = stream.encoding, stream.errors
        raw = stream.detach()
        assert isinstance(raw, io.FileIO)
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(raw), encoding, errors, line_buffering=True)


def say(text: str) -> None:
    """Write `text` and a newline to standard output."""
    sys.stdout.write(text + "\n")


def warn(text: str) -> None:
    """Write `text` and a newline to standard error."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def is_terminal(stream: TextIO) -> bool:
    """Tell whether a person looks at `stream`."""
    try:
        return stream.isatty()
    except ValueError:  # closed by the other side
        return False


def use_colour(stream: TextIO | None = None) -> bool:
    """Colours only on a terminal, never with NO_COLOR (https://no-color.org) or TERM=dumb."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return is_terminal(sys.stdout if stream is None else stream)


def terminal_width(stream: TextIO | None = None) -> int | None:
    """Return the columns of the terminal; None where the output goes elsewhere and COLUMNS is not set."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isascii() and columns.isdigit() and int(columns) > 0:
        return max(int(columns), MIN_WIDTH)
    stream = sys.stdout if stream is None else stream
    if not is_terminal(stream):
        return None
    try:
        return max(os.get_terminal_size(stream.fileno()).columns, MIN_WIDTH)
    except OSError:
        return DEFAULT_WIDTH


def tolerate_any_character() -> None:
    """Make a character that the terminal's encoding lacks appear escaped instead of ending the command."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
