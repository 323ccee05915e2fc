"""Release a batch: a clean stop hands it to any slot at once, and counts as nothing."""

from __future__ import annotations

import pytest

from lib.errors import LeaseLost
from lib.jobqueue.messages import BatchMessage
from tests.support.queue_line import BATCH_TOKEN, SPOOL, STALE_TOKEN, Line
from tests.support.snapshot import unchanged

pytestmark = pytest.mark.both_redis


def test_another_slot_reads_it_at_once_and_nothing_was_lost(line: Line) -> None:
    line.speaking("a", "b")
    line.store.release_batch("batch-1", BATCH_TOKEN)
    assert {line.state("a"), line.state("b")} == {"dispatched"}
    other = line.store.batches_stream("host/provisioner-1")
    message = BatchMessage.parse(other.read(1, 0)[0])
    claimed = line.store.claim_batch(message, other.consumer, STALE_TOKEN)
    assert claimed is not None
    assert (claimed.losses, [one.crashes for one in claimed.jobs]) == (0, [0, 0])
    assert (message.request_ids, message.header) == (("a", "b"), {"v": 1})
    line.check()


def test_after_the_release_the_old_holder_can_do_nothing(line: Line) -> None:
    line.speaking("a")
    line.store.release_batch("batch-1", BATCH_TOKEN)
    with unchanged(line.client):
        with pytest.raises(LeaseLost):
            line.store.renew_batch("batch-1", line.slot.consumer, BATCH_TOKEN)
        assert line.store.hand_over("batch-1", BATCH_TOKEN, SPOOL, [("a", "{}")]) == ["stale"]
        assert line.store.start_jobs("batch-1", BATCH_TOKEN, ["a"]) == [False]
        line.store.release_batch("batch-1", BATCH_TOKEN)


@pytest.mark.parametrize(("batch_id", "token"), [("batch-1", STALE_TOKEN), ("batch-9", BATCH_TOKEN)])
def test_who_does_not_hold_it_releases_nothing(line: Line, batch_id: str, token: str) -> None:
    line.speaking("a")
    with unchanged(line.client), pytest.raises(LeaseLost):
        line.store.release_batch(batch_id, token)


def test_a_release_heard_late_does_not_take_it_from_the_next_holder(line: Line) -> None:
    line.speaking("a")
    line.store.release_batch("batch-1", BATCH_TOKEN)
    line.claim(BatchMessage.parse(line.slot.read(1, 0)[0]), STALE_TOKEN)
    with unchanged(line.client), pytest.raises(LeaseLost):
        line.store.release_batch("batch-1", BATCH_TOKEN)


def test_a_batch_whose_entry_has_vanished_is_lost(line: Line) -> None:
    line.speaking("a")
    line.vanish(line.keys.batches_stream)
    with unchanged(line.client), pytest.raises(LeaseLost):
        line.store.release_batch("batch-1", BATCH_TOKEN)
