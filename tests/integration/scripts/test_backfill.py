"""Backfill: final records of older versions get the row, the history entry and the count they lack."""

from __future__ import annotations

import pytest

from lib.jobqueue.look import Look
from tests.support.queue_line import Line, record
from tests.support.snapshot import unchanged

pytestmark = pytest.mark.both_redis


@pytest.mark.parametrize("state", ["done", "failed", "cancelled"])
@pytest.mark.parametrize("word", [None, "queued", "done"])
def test_an_old_record_gets_what_it_lacks(line: Line, state: str, word: str | None) -> None:
    line.client.hset(line.keys.result if state == "done" else line.keys.failed, "old", record("old", state))
    if word is not None:
        line.client.hset(line.keys.index, "old", word)
    assert line.store.backfill(state, [("old", 1_700_000_000_000, "sha256:x")]) == 1
    assert (line.state("old"), line.row("old")["hash"]) == (state, "sha256:x")
    [found] = Look(line.store).history(10)
    assert (found["request_id"], found["status"]) == ("old", state)
    line.check_settled()


def test_records_that_have_a_row_of_ours_are_left_alone(line: Line) -> None:
    line.done("a")
    line.queued("q")
    with unchanged(line.client):
        assert line.store.backfill("done", [("a", 1, ""), ("q", 1, ""), ("never seen", 1, "")]) == 0
