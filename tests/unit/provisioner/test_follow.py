"""Bytes of a box to events."""

from __future__ import annotations

import json

import pytest

from lib.errors import BadArtefact
from provisioner import follow
from provisioner.follow import ExecutorFinished, ExecutorStarted, Failure, Finished, Follower, Started, clean


def line(**fields: object) -> bytes:
    return json.dumps({"v": 1, "at": "2026-01-31T12:00:00.000Z", **fields}).encode() + b"\n"


STARTED = line(event="job_started", request_id="a")
DONE = line(event="job_finished", request_id="a", status="done", seconds=1.5)


def test_every_event_is_read() -> None:
    data = line(event="executor_started", run_id="run-1") + STARTED + DONE + line(event="executor_finished")
    at = "2026-01-31T12:00:00.000Z"
    assert Follower().feed(data) == [
        ExecutorStarted(),
        Started("a", at),
        Finished("a", at, 1.5, None),
        ExecutorFinished(),
    ]


def test_a_line_that_is_being_written_is_read_again_when_it_is_whole() -> None:
    follower = Follower()
    data = STARTED + DONE
    for cut in range(len(data)):
        follower = Follower()
        first = follower.feed(data[:cut])
        assert first + follower.feed(data[follower.offset :]) == list(follow.parse_lines(data))


@pytest.mark.parametrize(
    "torn",
    [b'{"v":1,"eve\n', b"\xff\xfe\n", b"[" * 100_000 + b"\n", b"null\n", b"\n", b'{"v":2,"event":"job_started"}\n',
     b'{"v":1,"event":"job_finished","request_id":7,"status":"done"}\n', b'{"v":1}\n'],
)  # fmt: skip
def test_what_is_no_event_is_passed_over(torn: bytes) -> None:
    assert Follower().feed(torn + DONE) == Follower().feed(DONE)


def test_a_line_without_end_is_refused() -> None:
    with pytest.raises(BadArtefact, match="a line of more than"):
        Follower().feed(b"x" * (follow.MAX_LINE_BYTES + 1))


def test_a_failure_is_permanent_only_when_it_says_so_and_its_words_are_cleaned() -> None:
    error = {"type": "bad_voice", "class": "permanent", "message": "no \x1b[2Jvoice\u202e\x00"}
    (event,) = Follower().feed(line(event="job_finished", request_id="a", status="failed", error=error))
    assert isinstance(event, Finished)
    assert event.failure == Failure("bad_voice", True, "no [2Jvoice")
    (event,) = Follower().feed(line(event="job_finished", request_id="a", status="failed", error=None))
    assert isinstance(event, Finished)
    assert event.failure == Failure("no_result", False, "ended as failed without saying why")


@pytest.mark.parametrize("kind", ["Bad Voice", "x" * 100, 7, None, "a\nb"])
def test_an_error_type_that_is_no_plain_word_is_not_taken_over(kind: object) -> None:
    error = {"type": kind, "class": "transient", "message": ""}
    (event,) = Follower().feed(line(event="job_finished", request_id="a", status="failed", error=error))
    assert isinstance(event, Finished)
    assert event.failure is not None
    assert event.failure.error_type == "unknown_error"


@pytest.mark.parametrize("seconds", [-1, "1", True, None, 1e30])
def test_seconds_that_cannot_be_are_none(seconds: object) -> None:
    (event,) = Follower().feed(line(event="job_finished", request_id="a", status="done", seconds=seconds, at="soon"))
    assert event == Finished("a", None, 0.0, None)


def test_cleaning_keeps_words_and_cuts_their_number() -> None:
    assert clean("Grüße,\n\tWelt \ud800") == "Grüße,\n\tWelt"
    assert clean("x" * 50, 10) == "x" * 10
