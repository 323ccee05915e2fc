"""The jobs of a batch to specs that fit into one folder."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lib.jobqueue.messages import ClaimedJob
from lib.jobqueue.spec import content_hash, normalize_job_spec
from provisioner.prepare import original, prepare


def claimed(request_id: str, output_name: str = "", **fields: Any) -> ClaimedJob:
    raw = {"request_id": request_id, "output_name": output_name or request_id, "voice": "v", "text": "Hello.", **fields}
    return ClaimedJob(request_id, json.dumps(raw), 0, 0, 0, "dispatched")


def test_specs_are_normalised_and_hashed_and_keep_the_id_of_their_row() -> None:
    prepared = prepare([ClaimedJob("row", claimed("written", "a/b", extra=[]).spec, 0, 0, 0, "dispatched")])
    spec = prepared.specs["row"]
    assert (spec["request_id"], spec["output_name"], spec["language"]) == ("row", "a/b", "English")
    assert spec["content_hash"] == content_hash(normalize_job_spec(dict(spec), strict=False))
    assert (prepared.bad, prepared.apart) == ({}, [])


@pytest.mark.parametrize(
    "stored", ["", "{", "[]", '{"text": " "}', '{"output_name": "/abs", "voice": "v", "text": "x"}']
)
def test_a_spec_that_cannot_be_compiled_is_bad_and_costs_no_other_job(stored: str) -> None:
    prepared = prepare([ClaimedJob("bad", stored, 0, 0, 0, "dispatched"), claimed("good")])
    assert list(prepared.bad) == ["bad"]
    assert list(prepared.specs) == ["good"]


@pytest.mark.parametrize("request_id", [" a", "a\nb", "x" * 600])
def test_a_request_id_that_no_manifest_takes_is_bad_alone(request_id: str) -> None:
    prepared = prepare([ClaimedJob(request_id, claimed("a").spec, 0, 0, 0, "dispatched"), claimed("good")])
    assert list(prepared.bad) == [request_id]


@pytest.mark.parametrize(("first", "second"), [("a/b", "a/b"), ("a", "a/b"), ("a/b", "a"), ("a", "a/b/c")])
def test_jobs_whose_folders_clash_go_apart(first: str, second: str) -> None:
    prepared = prepare([claimed("1", first), claimed("2", second), claimed("3", "ab")])
    assert prepared.apart == ["2"]
    assert list(prepared.specs) == ["1", "3"]


def test_a_record_gets_the_spec_as_its_producer_wrote_it() -> None:
    assert original(ClaimedJob("a", '{"n": 1180591620717411303424, "e": []}', 0, 0, 0, "")) == {"n": 2**70, "e": []}
    assert original(ClaimedJob("a", "{torn", 0, 0, 0, "")) == "{torn"
