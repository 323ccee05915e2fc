"""Reading one entry of the jobs stream: a job, or what is wrong with it; never an exception."""

from __future__ import annotations

import json

import pytest

from lib.jobqueue import content_hash, normalize_job_spec
from lib.jobqueue.messages import Entry
from tests.support.watchers import spec
from watcher.intake import Parsed, Unparsable, parse


def entry(job: object) -> Entry:
    return Entry("5-0", {"job": job if isinstance(job, str) else json.dumps(job)})


def test_a_job_is_read_with_its_voice_its_hash_and_its_length() -> None:
    raw = spec(1, text="x" * 150, variants=2)
    assert parse(entry(raw)) == Parsed(
        "5-0",
        "topic:beat-001",
        content_hash(normalize_job_spec(raw, strict=False)),
        json.dumps(raw),
        "newsroom",
        None,
        20.0,
    )


def test_the_text_of_the_entry_is_kept_with_fields_nobody_knows() -> None:
    text = json.dumps({**spec(1), "from_the_future": {"a": []}})
    one = parse(entry(text))
    assert isinstance(one, Parsed)
    assert one.spec == text


def test_a_missing_request_id_comes_from_the_output_name() -> None:
    raw = spec(1)
    del raw["request_id"]
    one = parse(entry(raw))
    assert isinstance(one, Parsed)
    assert one.request_id == "topic:beat-001"


@pytest.mark.parametrize(
    ("job", "request_id", "error"),
    [
        ("", "", "job is not JSON"),
        ("{", "", "job is not JSON"),
        ("[]", "", "job is a list, expected a mapping of fields"),
        ('"text"', "", "expected a mapping of fields"),
        ("null", "", "expected a mapping of fields"),
        ("[" * 100_000, "", "job is not JSON"),
        ('{"request_id": "a", "temperature": NaN}', "", "NaN is no JSON number"),
        ('{"request_id": "a", "n": ' + "9" * 5_000 + "}", "", "job is not JSON"),
        ({}, "", "voice: neither voice nor speaker is given"),
        (spec(1, voice=None), "topic:beat-001", "neither voice nor speaker"),
        (spec(1, text="\ud800"), "topic:beat-001", "text"),
        (spec(1, request_id="lone \ud800"), "", "request_id"),
        (spec(1, request_id=7), "", "request_id"),
        (spec(1, request_id="x" * 5_000), "", "request_id"),
        ({"output_name": "t/b"}, "t:b", "text: is missing"),
        ({"output_name": "../b", "request_id": " a "}, "a", "output_name"),
        (spec(1, variants=1e300), "topic:beat-001", "variants"),
    ],
)
def test_what_is_no_job_says_why_and_keeps_its_payload(job: object, request_id: str, error: str) -> None:
    one = parse(entry(job))
    assert isinstance(one, Unparsable)
    assert (one.entry, one.request_id) == ("5-0", request_id)
    assert error in one.error
    assert "\n" not in one.error
    assert one.payload == (job if isinstance(job, str) else json.dumps(job))


def test_an_entry_without_a_job_keeps_all_its_fields() -> None:
    assert parse(Entry("5-0", {"other": "x"})) == Unparsable("5-0", "", "the entry has no field job", {"other": "x"})
