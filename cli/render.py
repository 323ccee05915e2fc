"""Data to text or JSON. Pure: writes nothing, reads no clock, no terminal, no environment.

Whatever is shown may come from a rented box or a foreign producer, so `clean` takes the terminal's control characters
out of every cell.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

SCHEMA_VERSION = 1
ELLIPSIS = "…"
GAP = 2
MIN_COLUMN = 6
READABLE_COLUMN = 14
HIDDEN = -GAP  # the width of a column that is left out: it takes its gap away with it

RED, GREEN, YELLOW, CYAN, BOLD, DIM = "31", "32", "33", "36", "1", "2"
STATUS_COLOURS = {
    "done": GREEN,
    "already_done": GREEN,
    "queued": CYAN,
    "failed": RED,
    "killed": RED,
    "cancelled": YELLOW,
}

# What JSON may hold as it is, but a terminal may obey, or no encoding can write.
_HIDDEN = re.compile(r"[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")


def json_text(data: Mapping[str, object]) -> str:
    """Return `data` as the JSON that `--json` prints, `schema_version` first."""
    import json

    text = json.dumps({"schema_version": SCHEMA_VERSION, **data}, ensure_ascii=False, indent=2)
    return _HIDDEN.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def error_json(kind: str, message: str, problems: Sequence[str], hint: str = "") -> str:
    """Return the JSON of an error."""
    error: dict[str, object] = {"type": kind, "message": message, "problems": list(problems)}
    if hint:
        error["hint"] = hint
    return json_text({"error": error})


def error_lines(problems: Sequence[str], hint: str = "", *, colour: bool = False) -> str:
    """Return an error for people: one line a problem, then what to do."""
    head = paint("error:", RED, colour=colour)
    lines = [f"{head} {clean(problem)}" for problem in problems]
    if hint:
        lines.append(f"  {hint}")
    return "\n".join(lines)


def clean(text: object) -> str:
    """Return `text` on one line, without control characters, direction overrides or lone surrogates."""
    return _CONTROLS.sub(" ", str(text)).strip()


def paint(text: str, code: str, *, colour: bool) -> str:
    """Wrap `text` in an ANSI colour when `colour` is on."""
    return f"\x1b[{code}m{text}\x1b[0m" if colour and text else text


def display_width(text: str) -> int:
    """Return the columns that `text` takes on a terminal (CJK two, combining marks none)."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(
        0 if combining(char) or char in "\u200b\u200c\u200d\ufe0e\ufe0f" else 2 if east_asian_width(char) in "WF" else 1
        for char in text
    )


def truncate(text: str, columns: int) -> str:
    """Return `text` cut to `columns` columns, with an ellipsis where something was cut."""
    if len(text) * 2 <= columns or display_width(text) <= columns:
        return text
    kept, used = [], 0
    for char in text:
        width = display_width(char)
        if used + width > columns - 1:
            break
        kept.append(char)
        used += width
    return "".join(kept) + ELLIPSIS


def table(
    headers: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    width: int | None = None,
    right: Sequence[int] = (),
    flexible: Sequence[int] = (),
    droppable: Sequence[int] = (),
    colour: bool = False,
    status_column: int | None = None,
) -> str:
    """Return a table no wider than `width` (None: as wide as it needs).

    `right` names the columns aligned to the right, `flexible` those that may be cut, the widest first, `droppable`
    those that are left out, in this order, before the flexible ones become too narrow to read.
    """
    cells = [[clean(value) if value is not None else "-" for value in row] for row in rows]
    widths = [len(header) for header in headers]
    for row in cells:
        for column, cell in enumerate(row):
            cell_width = display_width(cell)
            if cell_width > widths[column]:
                widths[column] = cell_width
    if width is not None:
        flexible = flexible or range(len(headers))
        for column in _left_out(widths, width, flexible, droppable):
            widths[column] = HIDDEN
        _shrink(widths, width, flexible)
    lines = [paint(_line(list(headers), widths, right), BOLD, colour=colour)]
    for row in cells:
        status = row[status_column] if status_column is not None else ""
        code = STATUS_COLOURS.get(status, "") if colour else ""
        lines.append(_line(row, widths, right, status_column if code else None, code))
    return "\n".join(lines)


def _left_out(widths: Sequence[int], width: int, flexible: Sequence[int], droppable: Sequence[int]) -> list[int]:
    """Return the columns that must go for the flexible ones to stay readable."""
    least = [min(READABLE_COLUMN, columns) if at in flexible else columns for at, columns in enumerate(widths)]
    surplus = sum(least) + GAP * (len(least) - 1) - width
    gone = []
    for column in droppable:
        if surplus <= 0:
            break
        gone.append(column)
        surplus -= least[column] + GAP
    return gone


def _shrink(widths: list[int], width: int, flexible: Sequence[int]) -> None:
    """Take columns from the widest flexible column until the line fits, or all are as narrow as they may be."""
    surplus = sum(widths) + GAP * (len(widths) - 1) - width
    while surplus > 0:
        widest = max(flexible, key=lambda column: widths[column])
        if widths[widest] <= MIN_COLUMN:
            return
        others = [widths[column] for column in flexible if column != widest]
        step = max(1, min(surplus, widths[widest] - max([MIN_COLUMN, *others])))
        widths[widest] -= step
        surplus -= step


def _line(cells: list[str], widths: list[int], right: Sequence[int], painted: int | None = None, code: str = "") -> str:
    parts = []
    for column, cell in enumerate(cells):
        if widths[column] == HIDDEN:
            continue
        shown = truncate(cell, widths[column])
        padding = " " * (widths[column] - display_width(shown))
        if column == painted:
            shown = paint(shown, code, colour=True)
        parts.append(padding + shown if column in right else shown + padding)
    return (" " * GAP).join(parts).rstrip()


def duration(seconds: float) -> str:
    """Return seconds for people: `8.4 s`, `3 min 12 s`, `2 h 05 min`."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"
