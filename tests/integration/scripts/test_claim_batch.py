"""Claim a batch: a new token for each holder, and a count of the holders that vanished."""

from __future__ import annotations

import pytest

from lib.errors import LeaseLost, QueueUnavailable
from tests.support.queue_line import BATCH_TOKEN, STALE_TOKEN, Line, record, spec
from tests.support.snapshot import unchanged

pytestmark = pytest.mark.both_redis


def test_the_reader_becomes_the_holder_and_gets_specs_and_counts(line: Line) -> None:
    message = line.dispatched("a", "b")
    claimed = line.claim(message)
    assert [(one.request_id, one.spec, one.state) for one in claimed.jobs] == [
        ("a", spec("a"), "dispatched"),
        ("b", spec("b"), "dispatched"),
    ]
    assert claimed.losses == 0
    assert (line.batch()["token"], line.batch()["consumer"]) == (BATCH_TOKEN, line.slot.consumer)
    line.check()


def test_another_consumer_that_did_not_read_it_is_told_it_is_lost(line: Line) -> None:
    message = line.dispatched("a")
    with unchanged(line.client), pytest.raises(LeaseLost):
        line.store.claim_batch(message, "host/provisioner-1", STALE_TOKEN)


def test_a_reclaimed_batch_counts_its_lost_holder_and_the_crash_of_the_job_being_spoken(line: Line) -> None:
    message = line.claimed("a", "b")
    line.store.start_jobs("batch-1", BATCH_TOKEN, ["a"])
    other = line.store.batches_stream("host/provisioner-1")
    assert [one.id for one in other.reclaim(0, 10, 60_000)] == [message.entry]
    claimed = line.store.claim_batch(message, other.consumer, STALE_TOKEN)
    assert claimed is not None
    assert claimed.losses == 1
    assert [(one.request_id, one.crashes, one.state) for one in claimed.jobs] == [
        ("a", 1, "dispatched"),
        ("b", 0, "dispatched"),
    ]
    with unchanged(line.client), pytest.raises(LeaseLost):
        line.store.renew_batch("batch-1", line.slot.consumer, BATCH_TOKEN)
    line.check()


def test_a_repeated_claim_counts_nothing_twice(line: Line) -> None:
    message = line.speaking("a")
    first = line.claim(message, STALE_TOKEN)
    assert line.claim(message, STALE_TOKEN) == first
    assert (line.batch()["losses"], line.row("a")["crashes"]) == (1, 1)


def test_a_claimer_that_found_the_executor_alive_lost_nothing(line: Line) -> None:
    message = line.speaking("a")
    claimed = line.store.claim_batch(message, line.slot.consumer, STALE_TOKEN, adopted=True)
    assert claimed is not None
    assert (claimed.losses, claimed.jobs[0].crashes, claimed.jobs[0].state) == (0, 0, "speaking")
    line.check()


def test_jobs_that_left_the_batch_are_not_in_the_claim(line: Line) -> None:
    message = line.dispatched("a", "b")
    line.store.cancel("a", "", record("a", "cancelled"))
    assert [one.request_id for one in line.claim(message).jobs] == ["b"]


def test_a_settled_batch_is_gone_also_when_asked_twice(line: Line) -> None:
    message = line.claimed("a")
    line.store.cancel("a", "", record("a", "cancelled"))
    line.client.hdel(line.keys.batches_index, "batch-1")
    for _ in range(2):
        assert line.store.claim_batch(message, line.slot.consumer, STALE_TOKEN) is None
    line.check_settled()


def test_a_batch_row_that_is_rubbish_is_gone_and_the_audit_puts_its_jobs_back(line: Line) -> None:
    message = line.dispatched("a")
    line.client.hset(line.keys.batches_index, "batch-1", "{rubbish")
    assert line.store.claim_batch(message, line.slot.consumer, BATCH_TOKEN) is None
    assert line.store.audit(0, 10) == (1, [("a", "dispatched")])
    assert line.store.audit_batches() == ["batch-1"]
    line.check()


def test_without_its_group_the_queue_is_unavailable_until_it_is_made_again(line: Line) -> None:
    message = line.dispatched("a")
    line.client.xgroup_destroy(line.keys.batches_stream, "provisioners")
    with unchanged(line.client), pytest.raises(QueueUnavailable):
        line.store.claim_batch(message, line.slot.consumer, BATCH_TOKEN)
    line.slot.ensure()
    assert [one.id for one in line.slot.read(1, 0)] == [message.entry]
