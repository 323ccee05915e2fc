"""Reject: what cannot be parsed ends as a failed record with the raw payload, and never silently."""

from __future__ import annotations

import json

import pytest

from tests.support.queue_line import Line, record
from tests.support.snapshot import unchanged

pytestmark = pytest.mark.both_redis


def _rubbish(line: Line) -> str:
    entry = str(line.client.xadd(line.keys.jobs_stream, {"job": "{"}))
    line.watcher.read(10, 0)
    return entry


def _reject(line: Line, entry: str, request_id: str) -> str:
    [key] = line.store.reject([(entry, request_id, record(request_id, "failed"), record(entry, "failed"))])
    return key


def test_an_entry_without_a_readable_id_fails_under_its_entry_id(line: Line) -> None:
    entry = _rubbish(line)
    assert _reject(line, entry, "") == entry
    assert json.loads(line.client.hget(line.keys.failed, entry))["request_id"] == entry
    assert (line.state(entry), line.row(entry)["reason"]) == ("failed", "invalid_job")
    line.check_settled()


def test_an_entry_with_a_readable_new_id_fails_under_that(line: Line) -> None:
    entry = _rubbish(line)
    assert _reject(line, entry, "a") == "a"
    assert line.state("a") == "failed"
    line.check_settled()


def test_an_entry_of_our_own_that_no_longer_parses_fails_its_job(line: Line) -> None:
    entries = line.queued("a")
    assert _reject(line, entries["a"], "a") == "a"
    assert line.state("a") == "failed"
    line.check_settled()


@pytest.mark.parametrize("state", ["queued", "done", "failed"])
def test_rubbish_under_the_id_of_a_good_job_leaves_that_job_alone(line: Line, state: str) -> None:
    if state == "queued":
        line.queued("a")
    else:
        getattr(line, state)("a")
    row = line.row("a")
    entry = _rubbish(line)
    assert _reject(line, entry, "a") == entry
    assert line.row("a") == row
    line.check()


def test_rubbish_under_the_id_of_an_old_record_leaves_that_record_alone(line: Line) -> None:
    line.client.hset(line.keys.result, "a", "old")
    entry = _rubbish(line)
    assert _reject(line, entry, "a") == entry
    assert line.client.hget(line.keys.result, "a") == "old"
    assert not line.client.hexists(line.keys.failed, "a")


@pytest.mark.parametrize("request_id", ["", "a"])
def test_a_repeat_names_the_same_key(line: Line, request_id: str) -> None:
    entry = _rubbish(line)
    first = _reject(line, entry, request_id)
    with unchanged(line.client):
        assert _reject(line, entry, request_id) == first


def test_an_entry_that_is_gone_leaves_no_record(line: Line) -> None:
    entry = _rubbish(line)
    line.client.xdel(line.keys.jobs_stream, entry)
    assert _reject(line, entry, "a") == ""
    assert not line.client.exists(line.keys.failed)
    line.check_settled()
