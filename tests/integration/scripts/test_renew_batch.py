"""Renew a batch: the lease stays, and the holder learns which jobs have left."""

from __future__ import annotations

import pytest

from lib.errors import LeaseLost
from tests.support.queue_line import BATCH_TOKEN, SPOOL, STALE_TOKEN, Line, record
from tests.support.snapshot import unchanged

pytestmark = pytest.mark.both_redis


def test_the_lease_is_young_again_and_counts_as_no_delivery(line: Line) -> None:
    line.claimed("a")
    line.client.xclaim(
        line.keys.batches_stream,
        "provisioners",
        line.slot.consumer,
        0,
        [line.batch()["entry"]],
        idle=90_000,
        justid=True,
    )
    assert line.store.renew_batch("batch-1", line.slot.consumer, BATCH_TOKEN) == {"a"}
    [row] = line.client.xpending_range(line.keys.batches_stream, "provisioners", "-", "+", 10)
    assert row["time_since_delivered"] < 60_000
    assert row["times_delivered"] == 1


def test_cancelled_and_handed_over_jobs_are_no_longer_named(line: Line) -> None:
    line.speaking("a", "b", "c")
    line.store.cancel("a", "", record("a", "cancelled"))
    line.store.hand_over("batch-1", BATCH_TOKEN, SPOOL, [("b", "{}")])
    assert line.store.renew_batch("batch-1", line.slot.consumer, BATCH_TOKEN) == {"c"}


@pytest.mark.parametrize(
    ("batch_id", "consumer", "token"),
    [
        ("batch-1", "host/provisioner-0", STALE_TOKEN),
        ("batch-1", "host/provisioner-9", BATCH_TOKEN),
        ("batch-9", "host/provisioner-0", BATCH_TOKEN),
        ("batch-1", "host/provisioner-0", ""),
    ],
)
def test_who_does_not_hold_it_learns_that_it_is_lost(line: Line, batch_id: str, consumer: str, token: str) -> None:
    line.claimed("a")
    with unchanged(line.client), pytest.raises(LeaseLost):
        line.store.renew_batch(batch_id, consumer, token)


def test_a_holder_whose_entry_was_reclaimed_does_not_steal_it_back(line: Line) -> None:
    line.claimed("a")
    line.store.batches_stream("host/provisioner-1").reclaim(0, 10, 60_000)
    with unchanged(line.client), pytest.raises(LeaseLost):
        line.store.renew_batch("batch-1", line.slot.consumer, BATCH_TOKEN)


def test_a_flushed_batch_is_lost(line: Line) -> None:
    line.claimed("a")
    line.store.flush_step()
    with unchanged(line.client), pytest.raises(LeaseLost):
        line.store.renew_batch("batch-1", line.slot.consumer, BATCH_TOKEN)
