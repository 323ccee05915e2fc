"""The box that is this machine: its folders, and what its executors may know."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lib.errors import BoxLost
from lib.jobqueue.spec import JobSpec, content_hash, normalize_job_spec
from provisioner.box import Traces
from provisioner.local import LocalBox, executor_environment, lock_holder


def job(name: str, text: str = "Hello.") -> JobSpec:
    spec = normalize_job_spec({"output_name": name, "voice": "v", "text": text}, strict=True)
    spec["content_hash"] = content_hash(spec)
    return spec


@pytest.fixture
def box(tmp_path: Path) -> LocalBox:
    return LocalBox(tmp_path, "box")


def events(box: LocalBox, *lines: dict[str, object]) -> None:
    text = "".join(json.dumps({"v": 1, **line}) + "\n" for line in lines)
    (box.folder("b") / "events.jsonl").write_text(text)


def test_pushing_compiles_and_pushing_the_same_again_keeps_what_was_made(box: LocalBox) -> None:
    pushed = box.push("b", [job("a/1"), job("a/2")])
    assert set(pushed.deadlines) == {"a:1", "a:2"}
    made = box.folder("b") / "a/1/take_01.wav"
    made.write_bytes(b"audio")
    assert box.push("b", [job("a/2")]) == pushed
    assert made.exists()


def test_a_folder_of_other_jobs_is_not_trusted(box: LocalBox) -> None:
    box.push("b", [job("a/1")])
    (box.folder("b") / "a/1/take_01.wav").write_bytes(b"audio")
    box.push("b", [job("a/1", "Another text.")])
    assert not (box.folder("b") / "a/1/take_01.wav").exists()
    assert (box.folder("b") / "a/1/text.txt").read_text() == "Another text."


def test_a_broken_manifest_is_made_anew(box: LocalBox) -> None:
    pushed = box.push("b", [job("a/1")])
    (box.folder("b") / "manifest.json").write_text("{")
    assert box.push("b", [job("a/1")]) == pushed


def test_traces_tell_what_was_lost(box: LocalBox) -> None:
    assert box.traces("b") is Traces.NONE
    box.push("b", [job("a/1")])
    assert box.traces("b") is Traces.WAITING
    started = {"event": "job_started", "request_id": "a:1"}
    events(box, {"event": "executor_started"}, started)
    assert box.traces("b") is Traces.DEAD
    events(
        box, started, {"event": "job_finished", "request_id": "a:1", "status": "done"}, {"event": "executor_finished"}
    )
    assert box.traces("b") is Traces.ENDED
    stopped = {"type": "stopped", "class": "transient", "message": ""}
    events(box, started, {"event": "job_finished", "request_id": "a:1", "status": "killed", "error": stopped})
    assert box.traces("b") is Traces.ENDED


def test_cancelling_marks_the_job_at_its_place_in_the_manifest(box: LocalBox) -> None:
    box.push("b", [job("a/2"), job("a/1")])
    box.cancel("b", "a:2")
    box.cancel("b", "unknown")
    box.cancel("no-batch", "a:1")
    assert [one.name for one in (box.folder("b") / "logs").iterdir()] == ["0002-cancel"]


def test_removing_is_safe_to_repeat_and_forgets_the_batch(box: LocalBox) -> None:
    box.push("b", [job("a/1")])
    assert box.batch_ids() == ["b"]
    box.remove("b")
    box.remove("b")
    box.kill("b")
    assert box.batch_ids() == []
    assert not box.alive("b")


def test_starting_without_a_folder_is_a_lost_box(box: LocalBox) -> None:
    with pytest.raises(BoxLost, match="cannot be used"):
        box.start("b", [])


def test_a_work_folder_that_cannot_be_written_is_a_lost_box(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BoxLost, match="cannot be used"):
        LocalBox(tmp_path / "file", "box").push("b", [job("a/1")])


def test_a_lock_file_that_nobody_holds_has_no_holder(tmp_path: Path) -> None:
    assert lock_holder(tmp_path) is None
    (tmp_path / "executor.lock").write_text("1\n")
    assert lock_holder(tmp_path) is None


def test_an_executor_learns_no_secret() -> None:
    given = {
        "PATH": "/bin",
        "REDIS_URL": "redis://:secret@h",
        "REDIS_URL_FILE": "/run/secrets/redis",
        "S3_SECRET_ACCESS_KEY": "secret",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "VAST_API_KEY": "secret",
        "VOICE_SYNTH_ENGINE": "espeak",
    }
    kept = executor_environment(given)
    assert sorted(kept) == ["PATH", "PYTHONPATH", "VOICE_SYNTH_ENGINE"]


def test_removing_a_batch_keeps_its_execution_report_as_the_latest(box: LocalBox, tmp_path: Path) -> None:
    for number in (1, 2):
        box.push("b", [job("a/1")])
        (box.folder("b") / "execution.json").write_text(f"report {number}")
        box.remove("b")
    found = [one.read_text() for one in tmp_path.rglob("execution.json")]
    assert found == ["report 2"]
    assert box.batch_ids() == []
