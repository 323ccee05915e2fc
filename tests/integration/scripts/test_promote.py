"""Promote: retries that are due go back on the jobs stream, those of older versions too."""

from __future__ import annotations

import json

import pytest

from lib.jobqueue.look import Look
from tests.support.queue_line import Line, record, spec
from tests.support.snapshot import unchanged

pytestmark = pytest.mark.both_redis


def _promote(line: Line, member: str, request_id: str, old_spec: str = "") -> str:
    [answer] = line.store.promote([(member, request_id, old_spec, record(request_id, "failed"))])
    return answer


def test_a_due_job_is_queued_again_with_its_attempts_and_its_age(line: Line) -> None:
    line.retrying("a")
    queued_ms = line.row("a")["queued_ms"]
    line.age_retries()
    assert Look(line.store).due_retries(10) == ["a"]
    assert _promote(line, "a", "a") == "ok"
    row = line.row("a")
    assert (row["state"], row["attempt"], row["queued_ms"]) == ("queued", 1, queued_ms)
    assert line.client.xrange(line.keys.jobs_stream) == [(row["entry"], {"job": spec("a")})]
    line.check()


def test_before_its_time_it_waits_on(line: Line) -> None:
    line.retrying("a")
    assert Look(line.store).due_retries(10) == []
    with unchanged(line.client):
        assert _promote(line, "a", "a") == "early"


@pytest.mark.parametrize("state", ["done", "queued"])
def test_a_member_that_no_job_stands_behind_is_removed(line: Line, state: str) -> None:
    getattr(line, state)("a")
    line.client.zadd(line.keys.retry, {"a": 1})
    assert _promote(line, "a", "a") == "gone"
    line.check()


def test_what_is_not_in_the_set_changes_nothing(line: Line) -> None:
    line.queued("a")
    with unchanged(line.client):
        assert _promote(line, "a", "a") == "gone"


def test_a_job_whose_spec_is_lost_fails_with_the_record_given(line: Line) -> None:
    line.retrying("a")
    line.age_retries()
    line.client.hdel(line.keys.specs, "a")
    assert _promote(line, "a", "a") == "no_spec"
    assert (line.state("a"), line.row("a")["reason"]) == ("failed", "spec_lost")
    line.check_settled()


@pytest.mark.parametrize("word", [None, "queued", "retrying"])
def test_a_member_of_an_older_version_brings_its_spec(line: Line, word: str | None) -> None:
    member = json.dumps({"request_id": "old", "job": spec("old")})
    line.client.zadd(line.keys.retry, {member: 1})
    if word is not None:
        line.client.hset(line.keys.index, "old", word)
    assert _promote(line, member, "old", spec("old")) == "ok"
    [(_, fields)] = line.client.xrange(line.keys.jobs_stream)
    assert fields["job"] == spec("old")
    assert line.state("old") == "queued"
    line.check()


@pytest.mark.parametrize("records", ["result", "failed"])
def test_a_member_of_an_older_version_whose_job_has_ended_is_removed(line: Line, records: str) -> None:
    member = json.dumps({"request_id": "old", "job": spec("old")})
    line.client.zadd(line.keys.retry, {member: 1})
    line.client.hset(getattr(line.keys, records), "old", record("old", "ended"))
    assert _promote(line, member, "old", spec("old")) == "gone"
    assert line.client.xlen(line.keys.jobs_stream) == line.client.zcard(line.keys.retry) == 0
