"""`enqueue`, `enqueue-beatsheet` and `report` against a real Redis: all or nothing checked, each request id once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import cli.sending
from cli.progress import Progress
from lib.jobqueue.spec import content_hash
from tests.support.command import job_runner, job_runner_inside
from tests.support.queue_line import Line
from tests.support.redis_server import RedisServer
from tests.support.snapshot import unchanged

TWO_JOBS = """
defaults: {language: English, callback_data: {topic_id: topic}}
jobs:
  - {output_name: topic/beat-001, voice: newsroom, text: "First line"}
  - {output_name: topic/beat-002, speaker: Ryan, text: "Second line", callback_data: {beat_id: 2, tags: []}}
"""


@pytest.fixture
def two_jobs(tmp_path: Path) -> str:
    path = tmp_path / "two.yaml"
    path.write_text(TWO_JOBS, encoding="utf-8")
    return str(path)


def many_jobs(path: Path, count: int) -> str:
    rows = [f'- {{output_name: t/beat-{n:04d}, voice: newsroom, text: "Line {n}"}}' for n in range(count)]
    path.write_text("\n".join(rows), encoding="utf-8")
    return str(path)


def specs_of(line: Line) -> dict[str, dict[str, Any]]:
    return {id_: json.loads(text) for id_, text in line.client.hgetall(line.keys.specs).items()}


@pytest.mark.both_redis
def test_enqueue_accepts_each_job_once(line: Line, two_jobs: str, redis_url: str) -> None:
    first = job_runner("enqueue", two_jobs, "--redis-url", redis_url)
    assert (first.code, first.err) == (0, "")
    assert first.out.startswith("queued: 2 (accepted now)\nduplicate_request: 0\nalready_done: 0\n")
    assert "  topic:beat-001\n  topic:beat-002\n" in first.out
    with unchanged(line.client):
        again = job_runner("enqueue", two_jobs, "--json", REDIS_URL=redis_url)
    assert again.code == 0
    assert again.json["schema_version"] == 1
    assert again.json["counts"] == {"queued": 0, "duplicate_request": 2, "already_done": 0}
    assert [row["changed"] for row in again.json["jobs"]] == [False, False]
    line.check()


def test_a_spec_travels_compact_sorted_whole_and_with_the_time_of_redis(
    line: Line, two_jobs: str, redis_url: str
) -> None:
    job_runner_inside("enqueue", two_jobs, "--redis-url", redis_url)
    text = line.client.hget(line.keys.specs, "topic:beat-002")
    spec = json.loads(text)
    assert text == json.dumps(spec, sort_keys=True, separators=(",", ":"))
    assert spec["callback_data"] == {"topic_id": "topic", "beat_id": 2, "tags": []}
    assert spec["content_hash"] == content_hash(spec)
    assert spec["queued_at"].endswith("Z")
    assert len(spec) == 21
    assert [fields["job"] for _, fields in line.client.xrange(line.keys.jobs_stream)][1] == text


def test_another_prefix_is_another_queue(line: Line, two_jobs: str, redis_url: str) -> None:
    job_runner_inside("enqueue", two_jobs, env={"REDIS_URL": redis_url, "KEY_PREFIX": "{other}:"})
    assert line.client.xlen("{other}:jobs:stream") == 2
    assert line.client.xlen(line.keys.jobs_stream) == 0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("jobs: [{output_name: a, voice: newsroom, text: ' '}]", "text: is blank"),
        (TWO_JOBS.replace("newsroom", "newsrom"), "no voice 'newsrom'"),
        (TWO_JOBS.replace("Ryan", "Brian"), "no speaker 'Brian'"),
        (TWO_JOBS.replace("beat-002", "beat-001"), "output_name"),
        ("jobs: [", "not valid YAML"),
    ],
)
def test_nothing_is_sent_of_a_file_with_a_fault(
    line: Line, tmp_path: Path, redis_url: str, text: str, told: str
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text, encoding="utf-8")
    with unchanged(line.client):
        ran = job_runner_inside("enqueue", str(path), "--redis-url", redis_url)
    assert ran.code == 2
    assert told in ran.err
    assert str(path) in ran.err
    assert ran.out == ""


def test_voices_that_only_the_boxes_have_can_be_named(line: Line, tmp_path: Path, redis_url: str) -> None:
    path = tmp_path / "far.yaml"
    path.write_text(TWO_JOBS.replace("newsroom", "far-away"), encoding="utf-8")
    assert job_runner_inside("enqueue", str(path), "--redis-url", redis_url).code == 2
    assert job_runner_inside("enqueue", str(path), "--redis-url", redis_url, "--no-voice-check").code == 0
    assert line.client.xlen(line.keys.jobs_stream) == 2


def test_a_known_request_id_with_another_text_is_said_so_with_both_hashes(
    line: Line, two_jobs: str, redis_url: str
) -> None:
    job_runner_inside("enqueue", two_jobs, "--redis-url", redis_url)
    known = specs_of(line)["topic:beat-001"]["content_hash"]
    Path(two_jobs).write_text(TWO_JOBS.replace("First", "Other"), encoding="utf-8")
    told = job_runner_inside("enqueue", two_jobs, "--redis-url", redis_url)
    assert told.code == 0
    assert told.err.startswith(
        "warning: topic:beat-001 (duplicate_request) is known with another content: known sha256:"
    )
    ran = job_runner_inside("enqueue", two_jobs, "--redis-url", redis_url, "--json")
    row = ran.json["jobs"][0]
    assert row["changed"]
    assert row["known_hash"] == known != row["content_hash"]
    assert row["content_hash"] in told.err
    assert known in told.err
    assert ran.json["changed"] == 1


def test_the_hash_in_a_record_of_an_older_version_is_compared_too(line: Line, two_jobs: str, redis_url: str) -> None:
    line.client.hset(line.keys.result, "topic:beat-001", json.dumps({"content_hash": "sha256:old"}))
    failed = {"status": "failed", "job": {"content_hash": "sha256:older"}}
    line.client.hset(line.keys.failed, "topic:beat-002", json.dumps(failed))
    ran = job_runner_inside("enqueue", two_jobs, "--redis-url", redis_url, "--json")
    assert [(row["status"], row["known_hash"]) for row in ran.json["jobs"]] == [
        ("already_done", "sha256:old"),
        ("duplicate_request", "sha256:older"),
    ]
    assert ran.json["changed"] == 2


def test_redis_dying_midway_is_told_with_what_was_accepted_and_running_it_again_completes_it(
    make_redis: Callable[..., RedisServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = make_redis()
    path = many_jobs(tmp_path / "many.yaml", 2400)

    class Killing(Progress):
        def step(self, count: int = 1, note: str = "") -> None:
            server.kill()

    with monkeypatch.context() as patch:
        patch.setattr(cli.sending, "Progress", Killing)
        ran = job_runner_inside("enqueue", path, "--redis-url", server.url, "--json")
        server.start()
        told = job_runner_inside("enqueue", path, "--redis-url", server.url)
    assert ran.code == 3
    assert ran.json["error"]["type"] == "queue_unavailable"
    assert ran.json["counts"]["queued"] == 1000
    assert ran.json["in_doubt"] == 1000
    assert len(ran.json["jobs"]) == 1000
    assert told.code == 3
    assert "1000 of 2400 jobs were answered, 0 of them accepted now for sure; up to 1000 more may have been" in told.err
    assert "Running the same command again is safe" in told.err
    assert "Traceback" not in told.err
    server.start()
    last = job_runner_inside("enqueue", path, "--redis-url", server.url, "--json")
    assert last.code == 0
    assert last.json["counts"] == {"queued": 1400, "duplicate_request": 1000, "already_done": 0}


def test_a_full_redis_takes_nothing_and_says_what_to_do(line: Line, two_jobs: str, redis_url: str) -> None:
    line.client.config_set("maxmemory", "1")
    with unchanged(line.client):
        ran = job_runner_inside("enqueue", two_jobs, "--redis-url", redis_url)
    assert ran.code == 3
    assert "memory limit" in ran.err
    assert "0 of 2 jobs were answered, 0 of them accepted now for sure. Running" in ran.err
    assert "raise maxmemory" in ran.err


def sheet(path: Path, **more: object) -> str:
    beats = [
        {"id": 1, "narration": "One."},
        {"id": 2, "narration": "Two.", "tts": {"speaker": "Ryan", "variants": 3}},
    ]
    path.write_text(json.dumps({"topicId": "topic", "title": "A topic", "beats": beats, **more}), encoding="utf-8")
    return str(path)


def test_a_beatsheet_gives_one_job_a_beat_and_options_have_the_lowest_precedence(
    line: Line, tmp_path: Path, redis_url: str
) -> None:
    path = sheet(tmp_path / "sheet.json", ttsDefaults={"profile": "expressive", "select_best": False})
    ran = job_runner(
        *("enqueue-beatsheet", path, "--voice", "newsroom", "--profile", "stable", "--variants", "2", "--select-best"),
        *("--tone=-calm-", "--temperature", "0.5", "--redis-url", redis_url, "--json"),
    )
    assert ran.code == 0, ran
    assert ran.json["command"] == "enqueue-beatsheet"
    assert ran.json["counts"]["queued"] == 2
    specs = specs_of(line)
    one, two = specs["topic:beat-001"], specs["topic:beat-002"]
    assert (one["voice"], one["speaker"], two["voice"], two["speaker"]) == ("newsroom", None, None, "Ryan")
    assert [spec["variants"] for spec in (one, two)] == [2, 3]
    assert [spec["profile"] for spec in (one, two)] == ["expressive"] * 2
    assert [spec["select_best"] for spec in (one, two)] == [False] * 2
    assert (one["tone"], one["temperature"]) == ("-calm-", 0.5)
    assert one["callback_data"] == {"topic_id": "topic", "beat_id": 1, "total_beats": 2, "topic_title": "A topic"}
    assert one["output_name"] == "topic/beat-001"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--voice", "nobody"], "no voice 'nobody'"),
        (["--voice", "newsroom", "--speaker", "Ryan"], "not allowed with"),
        (["--voice", "newsroom", "--variants", "0"], "variants"),
        (["--voice", "newsroom", "--temperature", "nan"], "finite"),
        ([], "neither voice nor speaker"),
    ],
)
def test_a_beatsheet_with_wrong_options_sends_nothing(
    line: Line, tmp_path: Path, redis_url: str, arguments: list[str], told: str
) -> None:
    path = sheet(tmp_path / "sheet.json")
    with unchanged(line.client):
        ran = job_runner_inside("enqueue-beatsheet", path, *arguments, "--redis-url", redis_url)
    assert ran.code == 2
    assert told in ran.err


def test_report_sets_every_job_of_the_file_beside_what_redis_knows(line: Line, two_jobs: str, redis_url: str) -> None:
    job_runner_inside("enqueue", two_jobs, "--redis-url", redis_url)
    line.store.cancel("topic:beat-002", "", '{"status": "cancelled", "error": "by\\u001b[31m hand"}')
    text = TWO_JOBS.replace("First", "Other") + '  - {output_name: topic/new, voice: newsroom, text: "New"}\n'
    Path(two_jobs).write_text(text, encoding="utf-8")
    with unchanged(line.client):
        ran = job_runner("report", two_jobs, "--redis-url", redis_url, "--json")
        told = job_runner("report", two_jobs, REDIS_URL=redis_url)
    assert (ran.code, told.code) == (0, 0)
    assert ran.json["counts"] == {"cancelled": 1, "not_enqueued": 1, "queued": 1}
    assert ran.json["changed"] == 1
    assert [row["status"] for row in ran.json["jobs"]] == ["queued", "cancelled", "not_enqueued"]
    assert "3 jobs: cancelled 1, not_enqueued 1, queued 1" in told.out
    assert "CHANGED" in told.out
    assert "\x1b" not in told.out
