"""normalize_job_spec: what a job may hold, and the one clear line that each fault gets."""

from __future__ import annotations

import datetime
import hashlib
import json
import math
import subprocess
import sys

import pytest

import lib.jobqueue
from lib.errors import InputError
from lib.jobqueue.spec import DEFAULTS, HASHED_FIELDS, content_hash, normalize_job_spec


def job(**fields: object) -> dict[str, object]:
    return {"output_name": "topic/beat-001", "voice": "newsroom", "text": "First line", **fields}


def problem(raw: object, *, strict: bool = True) -> str:
    with pytest.raises(InputError) as caught:
        normalize_job_spec(raw, strict=strict, where="jobs[0]")  # type: ignore[arg-type]
    return str(caught.value)


def test_a_minimal_job_gets_every_field_with_its_default() -> None:
    spec = normalize_job_spec(job(), strict=True)
    assert list(spec) == list(DEFAULTS)
    assert spec == {
        **dict.fromkeys(DEFAULTS),
        "request_id": "topic:beat-001",
        "output_name": "topic/beat-001",
        "voice": "newsroom",
        "text": "First line",
        "language": "English",
        "profile": "balanced",
        "variants": 1,
        "select_best": False,
        "chunk": False,
        "attempt": 0,
    }


def test_strings_are_trimmed_and_null_when_blank_but_text_is_kept_as_written() -> None:
    spec = normalize_job_spec(job(text="  two\n lines ", tone=" calm ", instruct="  ", language=" "), strict=True)
    assert spec["text"] == "  two\n lines "
    assert spec["tone"] == "calm"
    assert spec["instruct"] is None
    assert spec["language"] == "English"


def test_an_explicit_null_means_the_default() -> None:
    spec = normalize_job_spec(job(profile=None, variants=None, chunk=None), strict=True)
    assert (spec["profile"], spec["variants"], spec["chunk"]) == ("balanced", 1, False)


def test_a_given_request_id_wins_over_the_derived_one() -> None:
    assert normalize_job_spec(job(request_id=" mine "), strict=True)["request_id"] == "mine"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"speaker": "Ryan"}, "jobs[0].voice: both voice and speaker are given"),
        ({"voice": None}, "jobs[0].voice: neither voice nor speaker is given"),
        ({"voice": "../voices/x"}, "jobs[0].voice: '../voices/x' is no voice slug"),
        ({"text": "   \n "}, "jobs[0].text: is blank"),
        ({"text": None}, "jobs[0].text: is missing"),
        ({"text": 5}, "jobs[0].text: must be text, not the number 5; put it in quotes"),
        ({"text": "a\ud800b"}, "jobs[0].text: holds half a surrogate pair U+D800 at character 2"),
        ({"text": "a\x07b"}, "jobs[0].text: holds the control character U+0007 at character 2"),
        ({"text": "x" * 100_001}, "jobs[0].text: has 100,001 characters, more than 100,000"),
        ({"tone": "a\x00"}, "jobs[0].tone: holds the control character U+0000"),
        ({"language": False}, "jobs[0].language: must be text, not the boolean false; put it in quotes"),
        ({"language": "Eng\nlish"}, "jobs[0].language: holds the control character U+000A"),
        ({"variants": 2.7}, "jobs[0].variants: must be a whole number, not the number 2.7"),
        ({"variants": 2.0}, "jobs[0].variants: must be a whole number"),
        ({"variants": True}, "jobs[0].variants: must be a whole number, not the boolean true"),
        ({"variants": "2"}, "jobs[0].variants: must be a whole number, not the text '2'"),
        ({"variants": 0}, "jobs[0].variants: is 0; write a whole number from 1 to 99"),
        ({"variants": 10**5000}, "jobs[0].variants: is a number of hundreds of digits"),
        ({"select_best": "false"}, "jobs[0].select_best: must be true or false, not the text 'false'"),
        ({"chunk": 1}, "jobs[0].chunk: must be true or false, not the number 1"),
        ({"temperature": math.nan}, "jobs[0].temperature: is nan, not a finite number"),
        ({"temperature": math.inf}, "jobs[0].temperature: is inf, not a finite number"),
        ({"temperature": 10**400}, "jobs[0].temperature: is too large"),
        ({"temperature": -0.1}, "jobs[0].temperature: is -0.1; write a number of at least 0"),
        ({"temperature": True}, "jobs[0].temperature: must be a number, not the boolean true"),
        ({"top_p": 0}, "jobs[0].top_p: is 0; write a number above 0 and at most 1"),
        ({"top_p": 1.01}, "jobs[0].top_p: is 1.01; write a number above 0 and at most 1"),
        ({"repetition_penalty": 0}, "jobs[0].repetition_penalty: is 0; write a number above 0"),
        ({"max_new_tokens": 0}, "jobs[0].max_new_tokens: is 0"),
        ({"attempt": -1}, "jobs[0].attempt: is -1"),
        ({"queued_at": "yesterday"}, "jobs[0].queued_at: 'yesterday' is no time"),
        ({"content_hash": "sha256:0"}, "jobs[0].content_hash: does not match the job's content; leave it out"),
        ({"varaints": 2}, "jobs[0].varaints: unknown field; did you mean variants?"),
        ({"zzz": 2}, "jobs[0].zzz: unknown field; remove it"),
        ({"request_id": "x" * 513}, "jobs[0].request_id: has 513 bytes, more than 512"),
        ({"request_id": "a\x1b[0m"}, "jobs[0].request_id: holds the control character U+001B"),
        ({"output_name": "a/" + "é" * 130}, "has a part of 260 bytes, more than 255"),
        ({"output_name": "/".join(["x" * 200] * 3)}, "jobs[0].request_id: derived from output_name has 602 bytes"),
    ],
)
def test_each_fault_of_a_field_is_one_line(fields: dict[str, object], message: str) -> None:
    found = problem(job(**fields))
    assert message in found
    assert found.startswith("jobs[0].")
    assert "\n" not in found


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("/etc/x", "is absolute"),
        ("a/", "ends with '/'"),
        ("a//b", "has an empty part"),
        (".", "holds the part '.'"),
        ("a/../b", "holds the part '..'"),
        ("a/.b", "has a part that begins with a dot ('.b'); remove the dot"),
        ("a/./b", "holds the part '.'"),
        ("a\\b", "holds a backslash"),
        ("a\tb", "control character U+0009"),
        ("a\u202eb", "control character U+202E"),
        ("a /b", "space at its edge"),
        ("x" * 256, "has a part of 256 bytes"),
        ("/".join(["x" * 100] * 9), "has 908 bytes, more than 900"),
        ("manifest.json", "begins with 'manifest.json'"),
        ("logs/x", "begins with 'logs'"),
        ("executor.lock", "begins with 'executor.lock'"),
        ("nest/text.txt", "holds the part 'text.txt'"),
        ("nest/take_01.wav", "holds the part 'take_01.wav'"),
        ("nest/best.wav/x", "holds the part 'best.wav'"),
        ("  ", "is missing"),
    ],
)
def test_an_unsafe_output_name_is_refused(name: str, message: str) -> None:
    assert message in problem(job(output_name=name))


def test_all_faults_of_a_job_are_reported_at_once() -> None:
    lines = problem(job(variants=0, top_p=2, text=" ", voice="A")).splitlines()
    assert [line.split(":")[0].removeprefix("jobs[0].") for line in lines] == ["voice", "text", "variants", "top_p"]


@pytest.mark.parametrize("raw", [None, [], "text", 5])
def test_a_job_that_is_no_mapping_is_refused(raw: object) -> None:
    assert "jobs[0]: must be a mapping of fields" in problem(raw)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([1], "must be a mapping, not a list"),
        ({"when": datetime.date(2026, 1, 31)}, "when: a date is not JSON"),
        ({"a": {1: "x"}}, "a: the key 1 is not text"),
        ({"a": [1, math.nan]}, "a[1]: nan is not JSON"),
        ({"a": {"b": "\ud800"}}, "a.b: half a surrogate pair is not JSON"),
        ({"a": 2**64}, "a: the number does not fit in 64 bits"),
        ({"a": "x" * 70_000}, "is larger than 64 KiB"),
        ({"a": [[]] * 70_000}, "is larger than 64 KiB"),
    ],
)
def test_callback_data_that_json_cannot_carry_is_refused_with_its_path(data: object, message: str) -> None:
    assert f"jobs[0].callback_data: {message}" in problem(job(callback_data=data))


def test_callback_data_nested_too_deeply_is_refused() -> None:
    data: dict[str, object] = {}
    for _ in range(40):
        data = {"a": data}
    assert "nested more than 32 deep" in problem(job(callback_data=data))


def test_callback_data_is_copied() -> None:
    data = {"a": [1, {"b": None}]}
    spec = normalize_job_spec(job(callback_data=data), strict=True)
    data["a"].append(2)
    assert spec["callback_data"] == {"a": [1, {"b": None}]}


def test_a_time_may_be_text_or_a_timestamp_of_yaml() -> None:
    moment = datetime.datetime(2026, 1, 31, 12, tzinfo=datetime.UTC)
    assert normalize_job_spec(job(queued_at=moment), strict=True)["queued_at"] == "2026-01-31T12:00:00+00:00"
    written = "2026-01-31T12:00:00Z"
    assert normalize_job_spec(job(queued_at=written), strict=True)["queued_at"] == written


def test_a_stream_entry_keeps_fields_it_does_not_know_and_times_it_cannot_read() -> None:
    spec = normalize_job_spec(job(v=1, extra={"a": []}, queued_at="soon", variants=2.0), strict=False)
    assert spec["v"] == 1  # type: ignore[typeddict-item]
    assert spec["extra"] == {"a": []}  # type: ignore[typeddict-item]
    assert spec["queued_at"] == "soon"
    assert type(spec["variants"]) is int


def test_a_stream_entry_with_a_stale_hash_passes() -> None:
    assert normalize_job_spec(job(content_hash="sha256:0"), strict=False)["content_hash"] == "sha256:0"


def test_a_stream_entry_is_still_checked() -> None:
    assert "variants" in problem(job(variants=2.7), strict=False)
    assert "absolute" in problem(job(output_name="/x"), strict=False)


def test_the_content_hash_is_that_of_the_canonical_json_of_fifteen_fields() -> None:
    spec = normalize_job_spec(job(temperature=1, top_p=0.9), strict=True)
    canonical = (
        '{"chunk":false,"instruct":null,"instruct_style":null,"language":"English","max_new_tokens":null,'
        '"profile":"balanced","repetition_penalty":null,"select_best":false,"speaker":null,"temperature":1.0,'
        '"text":"First line","tone":null,"top_p":0.9,"variants":1,"voice":"newsroom"}'
    )
    assert content_hash(spec) == "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()
    assert len(HASHED_FIELDS) == 15


def test_the_content_hash_ignores_what_does_not_change_the_sound() -> None:
    one = normalize_job_spec(job(callback_data={"a": 1}, attempt=3), strict=True)
    two = normalize_job_spec(job(output_name="elsewhere"), strict=True)
    assert content_hash(one) == content_hash(two)


def test_a_job_read_back_from_json_is_the_same_job() -> None:
    spec = normalize_job_spec(job(callback_data={"a": [1, 2.5, None]}, top_p=0.5), strict=True)
    assert normalize_job_spec(json.loads(json.dumps(spec)), strict=True) == spec


def test_the_package_re_exports_lazily_and_without_redis() -> None:
    assert lib.jobqueue.normalize_job_spec is normalize_job_spec
    assert lib.jobqueue.content_hash is content_hash
    code = (
        "import lib.jobqueue, sys; lib.jobqueue.content_hash; "
        "sys.exit(bool({'redis', 'pydantic', 'boto3'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_package_refuses_other_names() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = lib.jobqueue.nonsense
