"""Flush hard: forgets all that has ended, once nothing is outstanding."""

from __future__ import annotations

import pytest

from tests.support.queue_line import Line
from tests.support.snapshot import unchanged

pytestmark = pytest.mark.both_redis


def test_everything_that_has_ended_is_forgotten(line: Line) -> None:
    line.done("d")
    line.failed("f", batch_id="batch-2")
    assert line.store.flush_hard() == (1, 1)
    gone = (line.keys.result, line.keys.failed, line.keys.index, line.keys.counters, line.keys.events)
    assert line.client.exists(*gone, line.keys.history_done, line.keys.history_failed) == 0
    assert line.enqueue("d") == ["queued"]
    line.check()


def test_while_a_job_is_outstanding_nothing_is_forgotten(line: Line) -> None:
    line.done("d")
    line.queued("q")
    with unchanged(line.client):
        assert line.store.flush_hard() is None
