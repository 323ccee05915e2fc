"""Records and times as people see them, from whatever a record holds."""

from __future__ import annotations

import pytest

from cli.moments import ago, iso_of_ms, span, unix_of
from cli.records import audio_of, detail, ended_at, lines_of


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("2026-01-01T00:00:00Z", 1_767_225_600.0),
        ("2026-01-01T01:00:00+01:00", 1_767_225_600.0),
        ("2026-01-01T00:00:00", 1_767_225_600.0),
        (1_767_225_600, 1_767_225_600.0),
        *((value, None) for value in (True, -1, 1e30, float("nan"), "soon", "", None, [], {})),
    ],
)
def test_a_time_is_read_in_every_form_a_record_may_hold(value: object, seconds: float | None) -> None:
    assert unix_of(value) == seconds


def test_ages_are_told_in_two_units() -> None:
    assert [span(seconds) for seconds in (0, 59.4, 60, 3_599, 3_600, 172_800)] == [
        *("0 s", "59 s", "1 min 00 s", "59 min 59 s"),
        *("1 h 00 min", "2 d 0 h"),
    ]
    assert ago(100, 112) == "12 s ago"
    assert ago(103, 100) == "0 s ago"
    assert ago(200, 100) == "in the future"
    assert ago("soon", 100) == ""


def test_milliseconds_of_a_row_become_a_time_and_anything_else_stays() -> None:
    assert iso_of_ms(1_767_225_600_500) == "2026-01-01T00:00:00Z"
    assert [iso_of_ms(value) for value in ("x", None, -5, True)] == ["x", None, -5, True]


@pytest.mark.parametrize(
    ("record", "told"),
    [
        ({"status": "done", "outputs": {"best": "s3://b/best.wav", "takes": ["s3://b/1.wav"]}}, "s3://b/best.wav"),
        ({"status": "done", "outputs": {"best": None, "takes": [{"url": "file:///x.wav"}]}}, "file:///x.wav"),
        ({"status": "done", "outputs": {"best": 7, "takes": 7}, "output_name": "t/a"}, "t/a"),
        ({"status": "done", "outputs": []}, "-"),
        ({"status": "failed", "error_type": "bad_voice", "error": "no such voice"}, "bad_voice: no such voice"),
        ({"status": "failed", "error": {"odd": 1}}, "{'odd': 1}"),
        ({"status": "queued", "reason": "retry_due"}, "retry_due"),
        ({}, "-"),
    ],
)
def test_the_detail_of_a_record_is_where_the_audio_is_or_what_went_wrong(record: dict[str, object], told: str) -> None:
    assert detail(record) == told


def test_a_record_without_times_or_audio_shows_a_dash() -> None:
    assert ended_at({"completed_at": "2026-01-01T10:20:30.123Z"}) == "2026-01-01 10:20:30"
    assert [ended_at(record) for record in ({}, {"failed_at": 7}, {"completed_at": "x" * 30})] == ["-"] * 3
    assert [audio_of({"audio_seconds": value}) for value in (1.26, 2, None, "x", True)] == ["1.3 s", "2.0 s", *"---"]


def test_a_whole_record_is_shown_line_by_line_without_control_characters() -> None:
    record = {
        "a": "x\x1b[2J",
        "none": None,
        "empty": {},
        "box": {"id": 7, "deep": {"ok": True}},
        "takes": [{"path": "1.wav", "size": 5}, {"path": "2.wav"}],
        "plain": [1, "ä"],
    }
    assert lines_of(record) == [
        *("a: x [2J", "none: -", "empty: -", "box:", "  id: 7", "  deep:", "    ok: true"),
        *("takes:", "  - path: 1.wav, size: 5", "  - path: 2.wav", 'plain: [1, "ä"]'),
    ]
