"""What older versions and other programs left in Redis is taken over, and runs to its end like anything else."""

from __future__ import annotations

import json

import pytest

from lib.jobqueue.look import Look
from tests.support.queue_line import LOCK, SPOOL, UPLOAD_TOKEN, Line, content_hash, record, spec

pytestmark = pytest.mark.both_redis


def _run_to_the_end(line: Line) -> None:
    """Watcher, provisioner and uploader, once each, for whatever is on the stream."""
    entries = [(one.id, json.loads(one.fields["job"])["request_id"]) for one in line.watcher.read(100, 0)]
    answers = line.store.admit([(entry, id_, content_hash(id_), spec(id_)) for entry, id_ in entries])
    pairs = [(id_, entry) for (entry, id_), one in zip(entries, answers, strict=True) if one.outcome == "held"]
    line.lock()
    assert line.store.dispatch(LOCK, "batch-1", "{}", pairs) == []
    message = line.slot.read(1, 0)[0]
    token = "b" * 32
    assert line.store._move("claim_batch", [line.slot.consumer, message.id, "batch-1", token, 0])[0] == "ok"
    uploads = [(id_, json.dumps({"request_id": id_})) for id_, _ in pairs]
    assert set(line.store.hand_over("batch-1", token, SPOOL, uploads)) == {"ok"}
    assert line.store.finish_batch("batch-1", token) == set()
    stored = [(one.fields["request_id"], one.id) for one in line.uploader.read(100, 0)]
    args = [line.uploader.consumer, UPLOAD_TOKEN, *(value for id_, entry in stored for value in (entry, id_))]
    line.store._move("claim_uploads", args, [line.keys.uploads_stream(SPOOL)])
    assert all(line.store.complete(SPOOL, UPLOAD_TOKEN, [(id_, entry, record(id_, "done")) for id_, entry in stored]))


def test_a_queue_of_an_older_version_drains(line: Line) -> None:
    line.client.hset(line.keys.index, mapping={"queued": "queued", "waiting": "queued", "ended": "queued"})
    line.foreign("queued")
    member = json.dumps({"request_id": "waiting", "job": spec("waiting")})
    line.client.zadd(line.keys.retry, {member: 1})
    line.client.hset(line.keys.result, "ended", record("ended", "done"))
    line.foreign("foreign")
    assert line.enqueue("queued", "waiting", "ended") == ["duplicate_request", "duplicate_request", "already_done"]

    assert Look(line.store).due_retries(10) == [member]
    assert line.store.promote([(member, "waiting", spec("waiting"), "")]) == ["ok"]
    assert line.store.backfill("done", [("ended", 1_700_000_000_000, "")]) == 1
    _run_to_the_end(line)

    results = Look(line.store).results(["queued", "waiting", "foreign", "ended"])
    assert [one and one["status"] for one in results] == ["done"] * 4
    assert len(Look(line.store).history(10)) == 4
    line.check_settled()


def test_rows_that_are_a_bare_word_are_shown_with_their_state(line: Line) -> None:
    line.client.hset(line.keys.index, "old", "queued")
    look = Look(line.store)
    assert look.row("old") == {"state": "queued"}
    found = look.result("old")
    assert found is not None
    assert found["status"] == "queued"


def test_records_that_are_not_json_are_shown_and_do_not_stop_the_history(line: Line) -> None:
    line.done("good")
    line.client.hset(line.keys.result, "odd", "not json")
    line.client.hset(line.keys.failed, "list", "[1]")
    line.store.backfill("done", [("odd", 1, "")])
    line.store.backfill("failed", [("list", 2, "")])
    assert [(one["request_id"], one["status"]) for one in Look(line.store).history(10)] == [
        ("good", "done"),
        ("list", "failed"),
        ("odd", "done"),
    ]


def test_fields_that_a_spec_does_not_know_pass_through_every_stage(line: Line) -> None:
    text = '{"request_id": "a", "from_the_future": {"empty": [], "big": 18446744073709551617}, "v": 99}'
    line.store.enqueue([("a", content_hash("a"), text)])
    assert Look(line.store).spec("a") == text
    assert line.watcher.read(1, 0)[0].fields["job"] == text
