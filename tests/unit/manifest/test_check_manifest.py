"""A manifest is checked whole before anything of it runs: another version, tampered argv, paths, texts."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lib.errors import InputError
from lib.jobqueue.spec import normalize_job_spec
from lib.manifest.check import load_manifest
from lib.manifest.compile import compile_jobs, run_id_of


@pytest.fixture
def compiled(tmp_path: Path) -> Path:
    jobs = [
        normalize_job_spec({"output_name": f"t/{name}", "voice": "newsroom", "text": name, "top_p": 0.9}, strict=True)
        for name in ("a", "b")
    ]
    compile_jobs(jobs, tmp_path / "out")
    return tmp_path / "out/manifest.json"


def problems(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_manifest(path)
    return str(caught.value)


def test_what_compile_wrote_passes(compiled: Path) -> None:
    assert [entry["request_id"] for entry in load_manifest(compiled)["jobs"]] == ["t:a", "t:b"]


def _word(position: int, word: str) -> Callable[[dict[str, Any]], None]:
    def change(manifest: dict[str, Any]) -> None:
        manifest["jobs"][0]["argv"][position] = word

    return change


def _set(field: str, value: object) -> Callable[[dict[str, Any]], None]:
    def change(manifest: dict[str, Any]) -> None:
        manifest["jobs"][0][field] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda manifest: manifest.update(manifest_version=2), "manifest_version is 2, this program reads 1"),
        (lambda manifest: manifest.update(manifest_version=True), "manifest_version is True"),
        (lambda manifest: manifest.pop("manifest_version"), "manifest_version is None"),
        (lambda manifest: manifest.update(jobs=[]), "jobs: must be a list with at least one job"),
        (lambda manifest: manifest.update(run_id="run-0"), "run_id: does not match the jobs"),
        (lambda manifest: manifest["jobs"].append(5), "jobs[2]: must be a mapping, not the number 5"),
        (lambda manifest: manifest["jobs"][0].pop("argv"), "jobs[0]: unknown or missing fields: argv"),
        (lambda manifest: manifest["jobs"][0].update(shell="rm"), "jobs[0]: unknown or missing fields: shell"),
        (
            lambda manifest: manifest["jobs"].append(manifest["jobs"][0]),
            "jobs[2].output_name: 't/a' is that of jobs[0]",
        ),
        (_word(0, "/bin/rm"), "jobs[0].argv: is not 'voice-synth speak ...' but '/bin/rm speak'"),
        (_word(1, "serve"), "jobs[0].argv: is not 'voice-synth speak ...'"),
        (_word(3, "--engine=evil"), "jobs[0].argv: holds '--engine=evil', which is not allowed"),
        (_word(3, "--language"), "jobs[0].argv: holds '--language', which is not allowed"),
        (_word(5, "--variants=2.5"), "jobs[0].argv: invalid literal"),
        (_word(6, "--top-p=0.90"), "jobs[0].argv: is not in the form that compile writes"),
        (_word(6, "--top-p=nan"), "jobs[0].argv: gives a top_p that is nan, not a finite number"),
        (_word(2, "--voice=storyteller"), "jobs[0].argv: asks for another voice or speaker than the entry"),
        (_word(-1, "../../etc/passwd"), "jobs[0].argv: does not end with the paths of 't/a'"),
        (_word(-3, "/tmp"), "jobs[0].argv: does not end with the paths of 't/a'"),
        (_set("argv", "voice-synth speak"), "jobs[0].argv: must be a list of texts"),
        (_set("argv", ["voice-synth", "speak", "a\0b"]), "jobs[0].argv: must be a list of texts"),
        (_set("output_name", "../x"), "jobs[0].output_name: holds the part '..'"),
        (_set("output_name", " t/a"), "jobs[0].output_name: is blank or has space at its edges"),
        (_set("output_name", None), "jobs[0].output_name: must be text"),
        (_set("request_id", 5), "jobs[0].request_id: must be text"),
        (_set("deadline_seconds", -1), "jobs[0].deadline_seconds: must be a number of seconds above 0"),
        (_set("deadline_seconds", float("nan")), "jobs[0].deadline_seconds: must be a number"),
        (_set("deadline_seconds", True), "jobs[0].deadline_seconds: must be a number"),
        (_set("content_hash", "sha256:0"), "jobs[0].content_hash: does not match argv and text.txt"),
    ],
)
def test_a_tampered_manifest_is_refused(compiled: Path, change: Callable[[dict[str, Any]], None], message: str) -> None:
    manifest = json.loads(compiled.read_text())
    change(manifest)
    compiled.write_text(json.dumps(manifest))
    assert message in problems(compiled)


def test_all_faults_are_reported_at_once(compiled: Path) -> None:
    manifest = json.loads(compiled.read_text())
    manifest["jobs"][0]["argv"][0] = "sh"
    manifest["jobs"][1]["output_name"] = "/x"
    compiled.write_text(json.dumps(manifest))
    assert len(problems(compiled).splitlines()) == 2


def test_an_added_job_is_noticed_by_the_run_id(compiled: Path) -> None:
    manifest = json.loads(compiled.read_text())
    manifest["jobs"] = manifest["jobs"][:1]
    compiled.write_text(json.dumps(manifest))
    assert "run_id: does not match the jobs" in problems(compiled)
    manifest["run_id"] = run_id_of(manifest["jobs"])
    compiled.write_text(json.dumps(manifest))
    load_manifest(compiled)


def test_a_changed_or_missing_text_is_refused(compiled: Path) -> None:
    text = compiled.parent / "t/a/text.txt"
    text.write_text("something else")
    assert "jobs[0].content_hash: does not match argv and text.txt" in problems(compiled)
    text.write_bytes(b"\xff")
    assert "cannot be read (not UTF-8)" in problems(compiled)
    text.unlink()
    assert "cannot be read (No such file or directory)" in problems(compiled)


def test_a_folder_that_is_a_link_to_elsewhere_is_refused(compiled: Path, tmp_path: Path) -> None:
    shutil.move(compiled.parent / "t", tmp_path / "elsewhere")
    (compiled.parent / "t").symlink_to(tmp_path / "elsewhere")
    assert "is or lies under a link; remove the link" in problems(compiled)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"[1]", "a manifest must be a mapping, not a list"),
        (b"\xff\xfe", "byte 0 is not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_what_is_no_manifest_is_refused(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "manifest.json"
    path.write_bytes(data)
    assert message in problems(path)


def test_a_missing_manifest_and_a_folder_are_refused(tmp_path: Path) -> None:
    assert "no such file" in problems(tmp_path / "manifest.json")
    assert "is a folder; name the manifest.json in it" in problems(tmp_path)


def test_a_pipe_or_a_device_is_refused_without_waiting_for_its_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        assert problems(path) == f"{path}: is no regular file; name a manifest.json that compile wrote"
