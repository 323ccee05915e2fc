"""Start jobs: a crash is counted against the job that was being spoken, so that is written down."""

from __future__ import annotations

import pytest

from tests.support.queue_line import BATCH_TOKEN, STALE_TOKEN, Line, record
from tests.support.snapshot import unchanged

pytestmark = pytest.mark.both_redis


def test_a_started_job_is_speaking(line: Line) -> None:
    line.claimed("a", "b")
    assert line.store.start_jobs("batch-1", BATCH_TOKEN, ["a"]) == [True]
    assert (line.state("a"), line.state("b")) == ("speaking", "dispatched")
    assert line.row("a")["speaking_ms"] >= line.row("a")["dispatched_ms"]
    line.check()


def test_only_the_holder_may_start_a_job_of_its_batch(line: Line) -> None:
    line.claimed("a")
    line.queued("b")
    with unchanged(line.client):
        assert line.store.start_jobs("batch-1", STALE_TOKEN, ["a"]) == [False]
        assert line.store.start_jobs("batch-2", BATCH_TOKEN, ["a"]) == [False]
        assert line.store.start_jobs("batch-1", BATCH_TOKEN, ["b", "never seen"]) == [False, False]


def test_a_batch_that_nobody_has_claimed_has_no_holder(line: Line) -> None:
    line.dispatched("a")
    with unchanged(line.client):
        assert line.store.start_jobs("batch-1", "", ["a"]) == [False]


def test_a_cancelled_job_does_not_start(line: Line) -> None:
    line.claimed("a")
    line.store.cancel("a", "", record("a", "cancelled"))
    with unchanged(line.client):
        assert line.store.start_jobs("batch-1", BATCH_TOKEN, ["a"]) == [False]
