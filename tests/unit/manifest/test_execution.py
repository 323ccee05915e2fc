"""execute-manifest: every end a job can come to, and starting again after a crash. Real processes, a scripted synth."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lib.errors import InputError
from lib.jobqueue.spec import normalize_job_spec
from lib.manifest import child
from lib.manifest.compile import compile_jobs, run_id_of
from lib.manifest.execution import ExecutorBusy, execute
from lib.manifest.leftovers import end_leftovers
from tests.support import fake_synth
from tests.support.wait import wait_until

SYNTH = [sys.executable, "-S", "-E", str(Path(fake_synth.__file__))]


@pytest.fixture(autouse=True)
def _leave_no_process(tmp_path: Path) -> Iterator[None]:
    yield
    end_leftovers(tmp_path / "out")  # only a test that failed half-way leaves any


def compiled(folder: Path, deeds: dict[str, str]) -> Path:
    """Compile one job for each name; its text says what the synth does."""
    jobs = [
        normalize_job_spec({"output_name": name, "voice": "newsroom", "text": deed}, strict=True)
        for name, deed in deeds.items()
    ]
    compile_jobs(jobs, folder / "out")
    return folder / "out/manifest.json"


def shorten_deadlines(manifest: Path, seconds: float) -> None:
    content = json.loads(manifest.read_text())
    for entry in content["jobs"]:
        entry["deadline_seconds"] = seconds
    content["run_id"] = run_id_of(content["jobs"])
    manifest.write_text(json.dumps(content))


def events(manifest: Path, kind: str = "") -> list[dict[str, Any]]:
    lines = (manifest.parent / "events.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    return [event for event in found if not kind or event["event"] == kind]


def calls(manifest: Path) -> list[str]:
    """Return the jobs for which a process ran, in order."""
    path = manifest.parent / "calls.txt"
    return [line.split()[0] for line in path.read_text().splitlines()] if path.exists() else []


def rows(report: dict[str, object]) -> dict[str, dict[str, Any]]:
    return {job["output_name"]: job for job in report["jobs"]}  # type: ignore[attr-defined]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_every_job_runs_once_and_is_recorded_as_it_ends(tmp_path: Path) -> None:
    manifest = compiled(tmp_path, {"a": "ok", "b": "ok"})
    seen: list[dict[str, object]] = []
    report = execute(manifest, synth=SYNTH, on_event=seen.append)
    assert (report["done"], report["failed"]) == (2, 0)
    kinds = ["executor_started", "job_started", "job_finished", "job_started", "job_finished", "executor_finished"]
    assert [event["event"] for event in events(manifest)] == kinds
    assert [event["event"] for event in seen] == kinds
    finished = events(manifest, "job_finished")[0]
    assert (finished["status"], finished["exit_code"], finished["error"]) == ("done", 0, None)
    assert finished["result"] == json.loads((manifest.parent / "a/result.json").read_text())
    written = json.loads((manifest.parent / "execution.json").read_text())
    assert written == report
    assert (manifest.parent / rows(report)["b"]["log_stdout"]).read_text() == "speaking b\n"
    assert int((manifest.parent / "executor.lock").read_text()) == os.getpid()


@pytest.mark.parametrize(
    ("deed", "status", "kind", "class_"),
    [
        ("permanent", "failed", "bad", "permanent"),
        ("transient", "failed", "bad", "transient"),
        ("exit", "failed", "no_result", "transient"),
        ("signal", "failed", "signal", "transient"),
        ("lie", "failed", "no_result", "transient"),
        ("link", "failed", "no_result", "transient"),
        ("torn", "failed", "no_result", "transient"),
    ],
)
def test_a_failed_job_gets_its_class_from_a_valid_result_only_and_the_next_one_runs(
    tmp_path: Path, deed: str, status: str, kind: str, class_: str
) -> None:
    manifest = compiled(tmp_path, {"a": deed, "b": "ok"})
    report = execute(manifest, synth=SYNTH)
    row = rows(report)["a"]
    assert (row["status"], row["error"]["type"], row["error"]["class"]) == (status, kind, class_)
    assert rows(report)["b"]["status"] == "done"
    assert (report["done"], report["failed"]) == (1, 1)


def test_fail_fast_ends_after_the_first_failure(tmp_path: Path) -> None:
    manifest = compiled(tmp_path, {"a": "exit", "b": "ok"})
    report = execute(manifest, synth=SYNTH, fail_fast=True)
    assert [job["status"] for job in report["jobs"]] == ["failed", "not_run"]  # type: ignore[attr-defined]
    assert calls(manifest) == ["a"]
    assert rows(execute(manifest, synth=SYNTH, fail_fast=True))["a"]["status"] == "failed"
    assert calls(manifest) == ["a", "a"]


def test_the_deadline_kills_the_whole_group_even_a_stubborn_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "GRACE_SECONDS", 0.3)
    manifest = compiled(tmp_path, {"a": "stubborn", "b": "orphan", "c": "ok"})
    shorten_deadlines(manifest, 0.7)
    report = execute(manifest, synth=SYNTH)
    for name in ("a", "b"):
        row = rows(report)[name]
        assert (row["status"], row["error"]["type"], row["error"]["class"]) == ("killed", "deadline", "transient")
    assert rows(report)["a"]["exit_code"] == -signal.SIGKILL
    assert rows(report)["b"]["exit_code"] == -signal.SIGTERM
    assert rows(report)["c"]["status"] == "done"
    orphan = int((manifest.parent / "orphan.txt").read_text())
    wait_until(lambda: not alive(orphan), what="the grandchild is gone too")


def test_logs_are_bounded_and_any_bytes_are_taken(tmp_path: Path) -> None:
    manifest = compiled(tmp_path, {"a": "noise"})
    report = execute(manifest, synth=SYNTH)
    assert report["done"] == 1
    log = (manifest.parent / rows(report)["a"]["log_stdout"]).read_bytes()
    assert len(log) < child.MAX_LOG_BYTES + 100
    assert log.endswith(b"[the rest of this log was cut]\n")


def test_a_process_that_left_its_group_and_talks_for_ever_holds_nobody_and_ends_with_its_batch(tmp_path: Path) -> None:
    manifest = compiled(tmp_path, {"a": "escape", "b": "ok"})
    assert execute(manifest, synth=SYNTH)["done"] == 2
    pid = int((manifest.parent / "escaped.txt").read_text())
    wait_until(lambda: not alive(pid), what="what escaped is gone")


def test_a_finished_job_is_not_done_twice(tmp_path: Path) -> None:
    manifest = compiled(tmp_path, {"a": "ok", "b": "exit"})
    execute(manifest, synth=SYNTH)
    report = execute(manifest, synth=SYNTH)
    assert calls(manifest) == ["a", "b", "b"]  # what failed is tried again by whoever starts another execution
    assert rows(report)["a"]["kept"] is True
    assert report["done"] == 1


@pytest.mark.parametrize("harm", ["take_01.wav", "takes.meta.json", "result.json"])
def test_a_finished_job_whose_files_are_damaged_is_done_again(tmp_path: Path, harm: str) -> None:
    manifest = compiled(tmp_path, {"a": "ok"})
    execute(manifest, synth=SYNTH)
    path = manifest.parent / "a" / harm
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    report = execute(manifest, synth=SYNTH)
    assert calls(manifest) == ["a", "a"]
    assert rows(report)["a"]["kept"] is False
    assert report["done"] == 1


def test_a_result_that_no_executor_here_started_is_not_believed(tmp_path: Path) -> None:
    manifest = compiled(tmp_path, {"a": "ok"})
    execute(manifest, synth=SYNTH)
    (manifest.parent / "events.jsonl").unlink()
    execute(manifest, synth=SYNTH)
    assert calls(manifest) == ["a", "a"]


def test_a_result_of_another_content_is_not_believed(tmp_path: Path) -> None:
    manifest = compiled(tmp_path, {"a": "ok"})
    execute(manifest, synth=SYNTH)
    log = manifest.parent / "events.jsonl"
    log.write_text(log.read_text().replace("sha256:", "sha256:f"))
    execute(manifest, synth=SYNTH)
    assert calls(manifest) == ["a", "a"]


def test_a_crash_between_the_result_and_its_record_costs_nothing(tmp_path: Path) -> None:
    manifest = compiled(tmp_path, {"a": "ok", "b": "ok"})
    execute(manifest, synth=SYNTH)
    log = manifest.parent / "events.jsonl"
    log.write_text("".join(line for line in log.read_text().splitlines(keepends=True)[:2]))
    report = execute(manifest, synth=SYNTH)
    assert calls(manifest) == ["a", "b", "b"]
    (finished,) = [event for event in events(manifest, "job_finished") if event["output_name"] == "a"]
    assert (finished["status"], finished["seconds"]) == ("done", 1.5)
    assert report["done"] == 2


def test_after_a_crash_a_failed_job_is_not_tried_again(tmp_path: Path) -> None:
    manifest = compiled(tmp_path, {"a": "exit", "b": "ok"})
    execute(manifest, synth=SYNTH)
    log = manifest.parent / "events.jsonl"
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:3]))
    report = execute(manifest, synth=SYNTH)
    assert calls(manifest) == ["a", "b", "b"]
    assert (rows(report)["a"]["status"], rows(report)["a"]["kept"]) == ("failed", True)


def test_a_torn_last_line_costs_that_line_only(tmp_path: Path) -> None:
    manifest = compiled(tmp_path, {"a": "ok", "b": "ok"})
    execute(manifest, synth=SYNTH)
    log = manifest.parent / "events.jsonl"
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:3]) + '{"v":1,"event":"job_sta')
    execute(manifest, synth=SYNTH)
    lines = log.read_text().splitlines()
    assert lines[3] == '{"v":1,"event":"job_sta'
    assert json.loads(lines[4])["event"] == "executor_started"
    assert calls(manifest) == ["a", "b", "b"]


def test_foreign_lines_among_the_events_are_passed_over(tmp_path: Path) -> None:
    manifest = compiled(tmp_path, {"a": "ok"})
    (manifest.parent / "events.jsonl").write_bytes(
        b'\xff\n[]\n5\n{"v":2,"event":"job_finished"}\n' + b"[" * 9999 + b"\n"
    )
    assert execute(manifest, synth=SYNTH)["done"] == 1


def run_executor(manifest: Path, **options: Any) -> subprocess.Popen[bytes]:
    """Start an executor in a process of its own."""
    code = (
        "import sys, threading, signal\nfrom pathlib import Path\nfrom lib.manifest.execution import execute\n"
        "stop = threading.Event()\nsignal.signal(signal.SIGTERM, lambda *_: stop.set())\n"
        "report = execute(Path(sys.argv[1]), synth=sys.argv[2:], stop=stop)\n"
        "sys.exit(99 if report.get('stopped') else 0)"
    )
    return subprocess.Popen([sys.executable, "-c", code, str(manifest), *SYNTH], **options)


def working(manifest: Path) -> Callable[[], bool]:
    return lambda: (manifest.parent / "ready.txt").exists() and bool(events(manifest, "job_started"))


def test_a_second_executor_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    manifest = compiled(tmp_path, {"a": "hang"})
    process = run_executor(manifest)
    wait_until(working(manifest))
    with pytest.raises(ExecutorBusy, match=rf"another executor \(process {process.pid}\) is at work in it"):
        execute(manifest, synth=SYNTH)
    process.terminate()
    assert process.wait(10) == 99
    assert len(events(manifest, "executor_started")) == 1


def test_being_told_to_stop_ends_the_job_and_the_next_executor_goes_on(tmp_path: Path) -> None:
    manifest = compiled(tmp_path, {"a": "ok", "b": "orphan", "c": "ok"})
    process = run_executor(manifest)
    wait_until(working(manifest))
    process.terminate()
    assert process.wait(10) == 99
    last = events(manifest)[-1]
    assert (last["event"], last["output_name"], last["status"]) == ("job_finished", "b", "killed")
    assert last["error"]["type"] == "stopped"
    assert not (manifest.parent / "execution.json").exists()
    for name in ("ready.txt", "orphan.txt"):
        pid = int((manifest.parent / name).read_text())
        wait_until(lambda pid=pid: not alive(pid))
    stop = threading.Event()
    report = execute(
        manifest, synth=SYNTH, stop=stop, on_event=lambda event: event["event"] == "job_started" and stop.set()
    )
    assert [job["status"] for job in report["jobs"]] == ["done", "killed", "not_run"]  # type: ignore[attr-defined]
    assert report["stopped"] is True
    assert calls(manifest)[:2] == ["a", "b"]


def test_an_executor_killed_with_sigkill_leaves_no_job_running_beside_the_next(tmp_path: Path) -> None:
    manifest = compiled(tmp_path, {"a": "ok", "b": "orphan"})
    process = run_executor(manifest)
    wait_until(working(manifest))
    process.kill()
    process.wait(10)
    left = [int((manifest.parent / name).read_text()) for name in ("ready.txt", "orphan.txt")]
    assert all(alive(pid) for pid in left)
    (manifest.parent / "ready.txt").unlink()
    shown = run_executor(manifest)
    wait_until(lambda: not any(alive(pid) for pid in left), what="the leftovers are ended")
    wait_until(working(manifest))
    shown.terminate()
    assert shown.wait(10) == 99
    assert calls(manifest) == ["a", "b", "b"]


def test_a_full_disk_ends_the_execution_clearly_and_loses_nothing(tmp_path: Path) -> None:
    manifest = compiled(tmp_path, {"a": "ok", "b": "ok", "c": "ok"})

    def small_files() -> None:  # a file that may not grow is as near to a full disk as a test without root gets
        resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))

    process = run_executor(manifest, preexec_fn=small_files, stderr=subprocess.PIPE)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 1
    assert b"OSError: [Errno 27] File too large" in said
    ran_before = calls(manifest)
    report = execute(manifest, synth=SYNTH)
    assert report["done"] == 3
    assert calls(manifest)[: len(ran_before)] == ran_before
    assert calls(manifest) == ["a", "b", "c"]


def test_a_program_that_is_missing_is_named_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = compiled(tmp_path, {"a": "ok"})
    monkeypatch.setenv("VOICE_SYNTH_BIN", "/no/such/program")
    with pytest.raises(InputError, match="VOICE_SYNTH_BIN: '/no/such/program' is no program that can be run"):
        execute(manifest)
    assert not (manifest.parent / "events.jsonl").exists()


def test_voice_synth_bin_names_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = compiled(tmp_path, {"a": "ok"})
    program = tmp_path / "my synth"
    program.write_text(f"#!/bin/sh\nexec '{SYNTH[0]}' -S -E '{SYNTH[-1]}' \"$@\"\n")
    program.chmod(0o755)
    monkeypatch.setenv("VOICE_SYNTH_BIN", str(program))
    assert execute(manifest)["done"] == 1


def test_a_program_that_cannot_be_started_fails_the_job_and_not_the_execution(tmp_path: Path) -> None:
    manifest = compiled(tmp_path, {"a": "ok"})
    report = execute(manifest, synth=["/no/such/program"])
    row = rows(report)["a"]
    assert (row["status"], row["error"]["type"], row["error"]["class"]) == ("failed", "cannot_start", "transient")


def test_nothing_runs_when_one_job_of_the_manifest_is_tampered_with(tmp_path: Path) -> None:
    manifest = compiled(tmp_path, {"a": "ok", "b": "ok"})
    content = json.loads(manifest.read_text())
    content["jobs"][1]["argv"][0] = "/bin/sh"
    manifest.write_text(json.dumps(content))
    with pytest.raises(InputError):
        execute(manifest, synth=SYNTH)
    assert names(manifest.parent) == ["a", "b", "manifest.json"]


def test_an_older_attempts_files_are_removed_before_a_job_starts(tmp_path: Path) -> None:
    manifest = compiled(tmp_path, {"a": "exit"})
    for name in ("take_01.wav", "take_02.wav", "best.wav", "takes.meta.json", "result.json"):
        (manifest.parent / "a" / name).write_text("old")
    execute(manifest, synth=SYNTH)
    assert names(manifest.parent / "a") == ["text.txt"]
