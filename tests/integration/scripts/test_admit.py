"""Admit: what the watcher has read is compared with the rows before it is dispatched."""

from __future__ import annotations

import pytest

from lib.jobqueue.messages import Admission
from lib.jobqueue.store import Holder, Requeue
from tests.support.queue_line import BATCH_TOKEN, Line, content_hash, record, spec
from tests.support.snapshot import unchanged

pytestmark = pytest.mark.both_redis


def _admit(line: Line, entry: str, request_id: str) -> Admission:
    [answer] = line.store.admit([(entry, request_id, content_hash(request_id), spec(request_id))])
    return answer


def test_a_queued_entry_is_held_and_nothing_changes(line: Line) -> None:
    entries = line.queued("a")
    with unchanged(line.client):
        answer = _admit(line, entries["a"], "a")
    assert answer == Admission("held", 0, 0, False, line.row("a")["queued_ms"])


def test_counts_of_losses_and_the_wish_to_go_alone_are_told(line: Line) -> None:
    line.speaking("a")
    line.store.requeue(Holder("batch", BATCH_TOKEN), [Requeue("a", "batch-1", "x", losses=2, crashes=1, alone=True)])
    entry = line.watcher.read(1, 0)[0].id
    assert _admit(line, entry, "a") == Admission("held", 0, 2, True, line.row("a")["queued_ms"])


def test_an_entry_of_another_program_is_adopted(line: Line) -> None:
    entry = line.foreign("a")
    line.watcher.read(1, 0)
    assert _admit(line, entry, "a").outcome == "held"
    row = line.row("a")
    assert (row["state"], row["entry"], row["hash"]) == ("queued", entry, content_hash("a"))
    assert row["queued_ms"] == int(entry.split("-")[0])
    line.check()


def test_an_entry_with_the_bare_word_of_an_older_version_is_adopted(line: Line) -> None:
    line.client.hset(line.keys.index, "a", "queued")
    entry = line.foreign("a")
    line.watcher.read(1, 0)
    assert _admit(line, entry, "a").outcome == "held"
    line.check()


def test_an_entry_that_claims_to_be_from_the_future_is_as_old_as_now(line: Line) -> None:
    entry = str(line.client.xadd(line.keys.jobs_stream, {"job": spec("a")}, id="99999999999999999-0"))
    line.watcher.read(1, 0)
    seconds, _ = line.client.time()
    assert _admit(line, entry, "a").queued_ms <= (seconds + 60) * 1000
    line.check()


@pytest.mark.parametrize("where", ["batch", "upload"])
def test_an_entry_whose_job_is_in_a_stage_is_held_elsewhere(line: Line, where: str) -> None:
    if where == "batch":
        line.speaking("a")
    else:
        line.uploading("a")
    with unchanged(line.client):
        assert _admit(line, line.row("a")["entry"], "a").outcome == "elsewhere"


@pytest.mark.parametrize("state", ["queued", "done", "failed", "retrying", "cancelled"])
def test_a_second_entry_for_a_known_job_is_superseded_and_removed(line: Line, state: str) -> None:
    if state == "queued":
        line.queued("a")
    elif state == "cancelled":
        line.enqueue("a")
        line.store.cancel("a", "", record("a", "cancelled"))
    else:
        getattr(line, state)("a")
    row = line.row("a")
    entry = line.foreign("a")
    line.watcher.read(10, 0)
    assert _admit(line, entry, "a").outcome == "superseded"
    assert line.row("a") == row
    assert line.events("a")[-1] == "superseded"
    line.check()


def test_an_entry_whose_record_an_older_version_wrote_is_superseded(line: Line) -> None:
    line.client.hset(line.keys.failed, "a", record("a", "failed"))
    entry = line.foreign("a")
    line.watcher.read(1, 0)
    assert _admit(line, entry, "a").outcome == "superseded"
    assert line.client.xlen(line.keys.jobs_stream) == 0
    assert not line.client.hexists(line.keys.index, "a")


def test_an_entry_that_was_deleted_meanwhile_is_gone_and_acknowledged(line: Line) -> None:
    entry = line.foreign("a")
    line.watcher.read(1, 0)
    line.client.xdel(line.keys.jobs_stream, entry)
    assert _admit(line, entry, "a").outcome == "gone"
    assert line.pending(line.keys.jobs_stream, "watchers") == {}
    assert not line.client.hexists(line.keys.index, "a")


def test_two_entries_for_one_new_job_in_one_call_are_one_job(line: Line) -> None:
    entries = [line.foreign("a"), line.foreign("a")]
    line.watcher.read(10, 0)
    answers = line.store.admit([(one, "a", content_hash("a"), spec("a")) for one in entries])
    assert [one.outcome for one in answers] == ["held", "superseded"]
    line.check()
