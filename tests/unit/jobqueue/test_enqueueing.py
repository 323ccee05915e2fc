"""How jobs are serialised and cut into calls, and how known hashes are found. No Redis."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lib.errors import JobRunnerError, QueueFull, QueueUnavailable
from lib.jobqueue import enqueueing, normalize_job_spec
from lib.jobqueue.enqueueing import Answer, known_hash, send, serialise
from lib.jobqueue.spec import content_hash


class Store:
    """Takes calls; fails the one it is told to."""

    def __init__(self, fail_at: int = -1, error: JobRunnerError | None = None) -> None:
        self.calls: list[int] = []
        self.fail_at = fail_at
        self.error = error

    def enqueue(self, jobs: list[tuple[str, str, str]]) -> list[tuple[str, str]]:
        if self.error is not None and len(self.calls) == self.fail_at:
            raise self.error
        self.calls.append(len(jobs))
        return [("queued", "")] * len(jobs)


def wires(count: int, size: int = 10) -> list[tuple[str, str, str]]:
    return [(f"job-{n}", "sha256:x", "x" * size) for n in range(count)]


def sent(store: Any, jobs: list[tuple[str, str, str]]) -> enqueueing.Sent:
    return send(store, jobs)


def test_the_same_job_is_the_same_bytes_whatever_the_order_of_its_fields() -> None:
    job = {
        "output_name": "t/a",
        "voice": "newsroom",
        "text": "Grüße \u2028",
        "callback_data": {"b": [], "a": 2**60 + 1},
    }
    specs = [normalize_job_spec(one, strict=True) for one in (job, dict(reversed(job.items())))]
    one, two = serialise(specs, 1_767_225_600.0)
    assert one == two
    request_id, hash_, text = one
    assert (request_id, hash_) == ("t:a", content_hash(specs[0]))
    assert text.isascii()
    assert json.loads(text) == {**specs[0], "content_hash": hash_, "queued_at": "2026-01-01T00:00:00.000Z"}


def test_a_time_that_the_job_says_itself_is_kept() -> None:
    job = {"output_name": "a", "voice": "v", "text": "x", "queued_at": "2020-01-01T00:00:00Z"}
    [(_, _, text)] = serialise([normalize_job_spec(job, strict=True)], 1_767_225_600.0)
    assert json.loads(text)["queued_at"] == "2020-01-01T00:00:00Z"


def test_calls_are_bounded_in_jobs_and_in_size() -> None:
    store = Store()
    assert len(sent(store, wires(2400)).answers) == 2400
    assert store.calls == [1000, 1000, 400]
    store = Store()
    sent(store, wires(5, size=enqueueing.CALL_CHARACTERS // 2))
    assert store.calls == [2, 2, 1]
    store = Store()
    sent(store, wires(2, size=enqueueing.CALL_CHARACTERS + 1))
    assert store.calls == [1, 1]
    assert sent(Store(), []) == enqueueing.Sent([])


@pytest.mark.parametrize(("error", "in_doubt"), [(QueueUnavailable("gone"), 1000), (QueueFull("full"), 0)])
def test_a_lost_answer_leaves_the_jobs_of_that_call_in_doubt_and_a_refusal_does_not(
    error: JobRunnerError, in_doubt: int
) -> None:
    outcome = sent(Store(1, error), wires(2400))
    assert len(outcome.answers) == 1000
    assert outcome.error is error
    assert outcome.in_doubt == in_doubt


@pytest.mark.parametrize(
    ("status", "known", "changed"),
    [
        ("duplicate_request", "sha256:b", True),
        ("already_done", "sha256:b", True),
        ("duplicate_request", "sha256:a", False),
        ("duplicate_request", "", False),
        ("queued", "sha256:b", False),
    ],
)
def test_a_job_has_changed_when_another_content_is_known_under_its_id(status: str, known: str, changed: bool) -> None:
    assert Answer("a", status, "sha256:a", known).changed is changed


@pytest.mark.parametrize(
    ("answer", "hash_"),
    [
        (None, ""),
        ({}, ""),
        ({"content_hash": "sha256:a", "job": {"content_hash": "sha256:b"}}, "sha256:a"),
        ({"content_hash": None, "job": {"content_hash": "sha256:b"}}, "sha256:b"),
        ({"content_hash": 7, "job": "raw"}, ""),
    ],
)
def test_the_hash_is_found_in_a_record_or_in_the_job_it_holds(answer: dict[str, object] | None, hash_: str) -> None:
    assert known_hash(answer) == hash_
