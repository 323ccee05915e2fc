"""Enqueue: each request id is accepted once, whoever asks and however often."""

from __future__ import annotations

import json

import pytest

from tests.support.queue_line import Line, record, spec
from tests.support.snapshot import unchanged

pytestmark = pytest.mark.both_redis


def test_a_new_job_is_queued_with_its_row_spec_entry_count_and_event(line: Line) -> None:
    assert line.store.enqueue([("a", "sha256:a", spec("a"))]) == [("queued", "")]
    [(entry, fields)] = line.client.xrange(line.keys.jobs_stream)
    assert fields == {"job": spec("a")}
    row = line.row("a")
    assert (row["state"], row["entry"], row["attempt"], row["hash"]) == ("queued", entry, 0, "sha256:a")
    assert line.client.hget(line.keys.specs, "a") == spec("a")
    assert line.client.hgetall(line.keys.counters) == {"queued": "1"}
    assert line.events("a") == ["queued"]
    line.check()


def test_an_id_that_is_known_is_a_duplicate_and_its_known_hash_is_told(line: Line) -> None:
    line.enqueue("a")
    with unchanged(line.client):
        assert line.store.enqueue([("a", "sha256:other", "{}")]) == [("duplicate_request", "sha256:a")]


def test_an_id_twice_in_one_call_is_queued_once(line: Line) -> None:
    jobs = [("a", "sha256:1", spec("a")), ("a", "sha256:2", spec("a"))]
    assert line.store.enqueue(jobs, nonce="n") == [("queued", ""), ("duplicate_request", "sha256:1")]
    with unchanged(line.client):
        assert line.store.enqueue(jobs, nonce="n") == [("queued", ""), ("duplicate_request", "sha256:1")]
    line.check()


def test_a_repeat_with_the_same_nonce_gets_the_first_answer_even_when_the_job_has_moved_on(line: Line) -> None:
    jobs = [("a", "sha256:a", spec("a"))]
    assert line.store.enqueue(jobs, nonce="n") == [("queued", "")]
    line.store.cancel("a", "", record("a", "cancelled"))
    with unchanged(line.client):
        assert line.store.enqueue(jobs, nonce="n") == [("queued", "")]


def test_a_done_job_is_already_done(line: Line) -> None:
    line.done("a")
    with unchanged(line.client):
        assert line.enqueue("a") == ["already_done"]


@pytest.mark.parametrize("ended", ["failed", "cancelled"])
def test_a_failed_or_cancelled_job_is_a_duplicate_until_it_is_retried(line: Line, ended: str) -> None:
    if ended == "failed":
        line.failed("a")
    else:
        line.enqueue("a")
        line.store.cancel("a", "", record("a", "cancelled"))
    with unchanged(line.client):
        assert line.enqueue("a") == ["duplicate_request"]


@pytest.mark.parametrize("word", [None, "queued", "done"])
def test_a_record_of_an_older_version_counts_with_or_without_a_row(line: Line, word: str | None) -> None:
    line.client.hset(line.keys.result, "old", record("old", "done"))
    line.client.hset(line.keys.failed, "bad", record("bad", "failed"))
    if word is not None:
        line.client.hset(line.keys.index, "old", word)
    with unchanged(line.client):
        assert line.enqueue("old", "bad", "old") == ["already_done", "duplicate_request", "already_done"]


def test_a_row_that_is_the_bare_word_queued_is_a_duplicate(line: Line) -> None:
    line.client.hset(line.keys.index, "old", "queued")
    with unchanged(line.client):
        assert line.enqueue("old") == ["duplicate_request"]


def test_a_thousand_jobs_go_in_one_call_and_keep_their_order(line: Line) -> None:
    ids = [f"job-{number:04}" for number in range(1001)]
    assert set(line.enqueue(*ids)) == {"queued"}
    entries = line.client.xrange(line.keys.jobs_stream)
    assert [json.loads(fields["job"])["request_id"] for _, fields in entries] == ids
    line.check()


def test_specs_and_ids_pass_through_lua_as_they_are(line: Line) -> None:
    odd = 'a "quoted" \\ ünïcode/\u2028 id'
    text = '{"request_id":"x","empty":[],"big":18446744073709551617,"f":1.10}'
    assert line.store.enqueue([(odd, "sha256:x", text)]) == [("queued", "")]
    [(_, fields)] = line.client.xrange(line.keys.jobs_stream)
    assert fields["job"] == text
    assert line.row(odd)["state"] == "queued"
    line.check()


def test_first_queued_is_the_oldest_unfinished_job(line: Line) -> None:
    line.enqueue("a")
    first = line.client.get(line.keys.first_queued)
    line.enqueue("b")
    assert line.client.get(line.keys.first_queued) == first
    for one in ("a", "b"):
        line.store.cancel(one, "", record(one, "cancelled"))
    assert line.client.get(line.keys.first_queued) is None
    line.check()


def test_nothing_to_enqueue_changes_nothing(line: Line) -> None:
    with unchanged(line.client):
        assert line.store.enqueue([]) == []


def test_an_events_stream_that_takes_no_more_stops_no_move(line: Line) -> None:
    line.client.xadd(line.keys.events, {"x": "y"}, id="18446744073709551615-18446744073709551615")
    assert line.enqueue("a", "b") == ["queued", "queued"]
    assert line.row("a")["state"] == line.row("b")["state"] == "queued"
    assert line.client.hgetall(line.keys.counters) == {"queued": "2"}
