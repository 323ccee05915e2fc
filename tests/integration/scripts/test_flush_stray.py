"""Flush strays: unfinished rows and specs that no outstanding job stands behind."""

from __future__ import annotations

import pytest

from tests.support.queue_line import Line, record
from tests.support.snapshot import unchanged

pytestmark = pytest.mark.both_redis


def test_rows_of_older_versions_and_left_over_specs_go(line: Line) -> None:
    line.client.hset(line.keys.index, "old", "queued")
    line.client.hset(line.keys.specs, "spec only", "{}")
    assert line.store.flush_stray(["old", "spec only", "never seen"]) == 2
    line.check_settled()
    assert line.enqueue("old") == ["queued"]


def test_outstanding_and_ended_jobs_are_left_alone(line: Line) -> None:
    line.done("d")
    line.failed("f", batch_id="batch-2")
    line.queued("q")
    line.client.hset(line.keys.result, "old", record("old", "done"))
    line.client.hset(line.keys.index, "old", "queued")
    with unchanged(line.client):
        assert line.store.flush_stray(["d", "f", "q", "old"]) == 0
