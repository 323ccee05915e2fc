from __future__ import annotations

import pytest

from synth.selection import Candidate, expected_seconds, failed_gates, select

GOOD = Candidate(
    take=1,
    seconds=5.0,
    lead_silence_seconds=0.1,
    tail_silence_seconds=0.2,
    longest_gap_seconds=0.5,
    clipped_share=0.0,
    engine_dbfs=-25.0,
)


def test_a_good_take_passes_every_gate():
    assert failed_gates(GOOD, 5.0) == []


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"seconds": 2.4}, "too short"),
        ({"seconds": 10.1}, "too long"),
        ({"lead_silence_seconds": 1.1}, "begins with silence"),
        ({"tail_silence_seconds": 6.0}, "ends with silence"),
        ({"longest_gap_seconds": 2.1}, "gap"),
        ({"clipped_share": 0.002}, "clipped"),
        ({"engine_dbfs": -50.0}, "faint"),
    ],
)
def test_each_gate_names_its_fault(changes, fault):
    (said,) = failed_gates(GOOD._replace(**changes), 5.0)
    assert fault in said


def test_a_take_that_passes_beats_one_with_a_better_pace_that_does_not():
    clipped = GOOD._replace(clipped_share=0.5)
    slow = GOOD._replace(take=2, seconds=6.5)
    chosen = select([clipped, slow], [5.0, 5.0])
    assert chosen.take == 2
    assert "1 of 2 takes passed" in chosen.why


def test_pace_decides_among_good_takes():
    takes = [GOOD._replace(take=number, seconds=seconds) for number, seconds in ((1, 7.0), (2, 5.1), (3, 3.4))]
    assert select(takes, [5.0] * 3).take == 2


def test_within_the_tolerance_the_middle_take_wins_and_then_the_first():
    takes = [GOOD._replace(take=number, seconds=seconds) for number, seconds in ((1, 5.2), (2, 4.8), (3, 5.0))]
    assert select(takes, [5.0] * 3).take == 3
    assert select(takes[:2], [5.0] * 2).take == 1


def test_when_no_take_passes_the_least_bad_one_is_taken_and_its_fault_said():
    two = GOOD._replace(clipped_share=0.5, engine_dbfs=-60.0)
    one = GOOD._replace(take=2, clipped_share=0.5)
    chosen = select([two, one], [5.0, 5.0])
    assert chosen.take == 2
    assert "no take passed" in chosen.why
    assert "clipped" in chosen.why


def test_the_expected_length_grows_with_the_text_and_shrinks_with_the_speed():
    text = "The old bridge across the river opens again tonight."
    assert 2.5 < expected_seconds(text) < 4.5
    assert expected_seconds(text, 2.0) == pytest.approx(expected_seconds(text) / 2)
    assert expected_seconds("今晚的新闻") > expected_seconds("later")
    assert expected_seconds("3.14159") > expected_seconds("pi")
