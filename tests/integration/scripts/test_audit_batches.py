"""Audit batches: rows of vanished batches go, once no job is in them."""

from __future__ import annotations

import pytest

from tests.support.queue_line import Line
from tests.support.snapshot import unchanged

pytestmark = pytest.mark.both_redis


def test_a_batch_whose_entry_is_there_stays(line: Line) -> None:
    line.claimed("a")
    with unchanged(line.client):
        assert line.store.audit_batches() == []


def test_a_vanished_batch_stays_until_its_jobs_are_put_back(line: Line) -> None:
    line.claimed("a")
    line.vanish(line.keys.batches_stream)
    with unchanged(line.client):
        assert line.store.audit_batches() == []
    line.store.audit(0, 100)
    assert line.store.audit_batches() == ["batch-1"]
    line.check()


def test_a_row_that_is_rubbish_goes(line: Line) -> None:
    line.client.hset(line.keys.batches_index, "batch-1", "{rubbish")
    assert line.store.audit_batches() == ["batch-1"]
