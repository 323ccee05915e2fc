"""Tables fitted to the terminal, durations, the progress bar, the terminal's facts."""

from __future__ import annotations

import io
import json
import sys

import pytest

from cli import console, progress
from cli.render import clean, display_width, duration, json_text, paint, table, truncate


class Terminal(io.StringIO):
    """A stream that a person looks at."""

    def isatty(self) -> bool:
        return True


def test_a_table_is_as_wide_as_it_needs_and_aligns_numbers_to_the_right() -> None:
    shown = table(("NAME", "N"), [("a", 5), ("long name", 100)], right=(1,))
    assert shown == "NAME         N\na            5\nlong name  100"


@pytest.mark.parametrize("width", [40, 60, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    rows = [("日本語の長い名前" * 5, "x" * 80, "short"), ("é" * 70, "", None)]
    shown = table(("ONE", "TWO", "THREE"), rows, width=width, flexible=(0, 1))
    lines = shown.splitlines()
    assert all(display_width(line) <= width for line in lines)
    assert ("…" in shown) == (width < 170)


def test_columns_stay_aligned_with_wide_characters() -> None:
    lines = table(("A", "B"), [("世界", "x"), ("abcd", "y")]).splitlines()
    assert [display_width(line[: line.index(mark)]) for line, mark in zip(lines, "Bxy", strict=True)] == [6, 6, 6]


def test_only_the_status_is_painted_and_only_where_colours_are_wanted() -> None:
    rows = [("done", "a"), ("failed", "b"), ("other", "c")]
    plain = table(("STATUS", "X"), rows, status_column=0)
    assert "\x1b" not in plain
    coloured = table(("STATUS", "X"), rows, status_column=0, colour=True)
    assert "\x1b[32mdone\x1b[0m    a" in coloured
    assert "\x1b[31mfailed\x1b[0m  b" in coloured


def test_missing_values_and_control_characters_never_reach_the_terminal() -> None:
    assert table(("A", "B"), [(None, "a\x1b[31m\nb")]) == "A  B\n-  a [31m b"
    assert clean("\ud800x\u202ey") == "x y"


@pytest.mark.parametrize(
    ("text", "columns", "shown"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("世界人", 5, "世界…"),
        ("世界人", 4, "世…"),
        ("e\u0301e\u0301", 2, "e\u0301e\u0301"),
    ],
)
def test_text_is_cut_by_display_width(text: str, columns: int, shown: str) -> None:
    assert truncate(text, columns) == shown
    assert display_width(shown) <= columns


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.04, "0.0 s"),
        (8.44, "8.4 s"),
        (59.96, "1 min 00 s"),
        (192, "3 min 12 s"),
        (3599.7, "1 h 00 min"),
        (7500, "2 h 05 min"),
    ],
)
def test_durations_are_readable(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_json_tells_its_version_first_and_keeps_letters() -> None:
    assert json_text({"a": "é世"}).startswith('{\n  "schema_version": 1')
    assert json.loads(json_text({"a": "é世"})) == {"schema_version": 1, "a": "é世"}


def test_colours_need_a_terminal_and_respect_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert console.use_colour(Terminal())
    assert not console.use_colour(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not console.use_colour(Terminal())
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not console.use_colour(Terminal())
    assert paint("x", "1", colour=False) == "x"


def test_the_width_comes_from_columns_or_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert console.terminal_width(io.StringIO()) == 100
    monkeypatch.setenv("COLUMNS", "5")
    assert console.terminal_width(io.StringIO()) == console.MIN_WIDTH
    monkeypatch.setenv("COLUMNS", "wide")
    assert console.terminal_width(io.StringIO()) is None


def test_progress_shows_itself_only_after_a_second_and_only_to_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")
    for stream, visible in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        now = 100.0
        with progress.Progress(4, "speaking") as bar:
            bar.step(1, "a")
            assert stream.getvalue() == ""
            now = 101.5
            bar.step(1, "topic/日本語\x1b[2J" + "x" * 99)
            now = 101.55
            bar.step(1, "too soon to be drawn")
        shown = stream.getvalue()
        assert ("speaking [############------------] 2/4" in shown) == visible
        assert "\x1b[2J" not in shown
        assert "too soon" not in shown
        assert shown.endswith("\r\x1b[K") == visible


def test_a_bar_of_nothing_is_full() -> None:
    assert progress.bar(0, 0, 4) == "[####]"
    assert progress.bar(9, 4, 4) == "[####]"


@pytest.mark.parametrize(
    ("width", "shown"), [(80, "ID STATUS ENDED DETAIL"), (55, "ID STATUS DETAIL"), (40, "ID DETAIL")]
)
def test_a_narrow_terminal_shows_fewer_columns_rather_than_unreadable_ones(width: int, shown: str) -> None:
    rows = [("topic:beat-001", "not_enqueued", "2026-01-31 12:00:00", "where the audio lies, or why there is none")]
    headers = ("ID", "STATUS", "ENDED", "DETAIL")
    lines = table(headers, rows, width=width, flexible=(0, 3), droppable=(2, 1), right=(2,)).splitlines()
    assert lines[0].split() == shown.split()
    assert lines[1].startswith("topic:beat-001  ")
    assert max(map(display_width, lines)) <= width
