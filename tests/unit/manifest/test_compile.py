"""compile: deterministic, whole or not at all, never over anything of value; and argv that cannot be misread."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lib.errors import InputError
from lib.jobqueue.spec import JobSpec, content_hash, normalize_job_spec
from lib.manifest.argv import build_argv, parse_argv
from lib.manifest.check import load_manifest
from lib.manifest.compile import build_manifest, compile_jobs
from lib.manifest.estimate import deadline_seconds, estimated_seconds


def job(name: str, **fields: object) -> JobSpec:
    raw = {"output_name": name, "voice": "newsroom", "text": f"Text of {name}", **fields}
    return normalize_job_spec(raw, strict=True)


def tree_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_two_compiles_are_byte_identical_whatever_the_order_and_the_place(tmp_path: Path) -> None:
    jobs = [job("t/b"), job("t/a", voice=None, speaker="Ryan"), job("a/z", voice="storyteller")]
    compile_jobs(jobs, tmp_path / "one")
    compile_jobs(jobs[::-1], tmp_path / "deep" / "two")
    assert tree_of(tmp_path / "one") == tree_of(tmp_path / "deep" / "two")


def test_the_folder_holds_the_manifest_and_each_text_exactly(tmp_path: Path) -> None:
    manifest, state = compile_jobs([job("t/a", text=" é\n\ttail \n")], tmp_path / "out")
    assert state == "created"
    assert sorted(tree_of(tmp_path / "out")) == ["manifest.json", "t/a/text.txt"]
    assert (tmp_path / "out/t/a/text.txt").read_bytes() == " é\n\ttail \n".encode()
    written = (tmp_path / "out/manifest.json").read_text()
    assert json.loads(written) == manifest
    assert written == json.dumps(manifest, sort_keys=True, indent=2, ensure_ascii=False) + "\n"
    assert names(tmp_path) == ["out"]


def test_jobs_are_ordered_so_that_each_voice_loads_once() -> None:
    jobs = [job("b", voice="v2"), job("a", voice="v1"), job("d", voice="v2"), job("c", voice=None, speaker="Ryan")]
    entries = build_manifest(jobs)["jobs"]
    assert [entry["output_name"] for entry in entries] == ["c", "a", "b", "d"]  # type: ignore[attr-defined]


def test_an_entry_tells_hash_estimate_deadline_and_argv() -> None:
    spec = job("t/a", select_best=True, variants=3, tone="--calm", temperature=0.5, instruct="-x")
    (entry,) = build_manifest([spec])["jobs"]  # type: ignore[misc]
    assert entry == {
        "request_id": "t:a",
        "output_name": "t/a",
        "content_hash": content_hash(spec),
        "voice": "newsroom",
        "speaker": None,
        "estimated_seconds": estimated_seconds(spec["text"], 3),
        "deadline_seconds": 120.0,
        "argv": [
            *("voice-synth", "speak", "--voice=newsroom", "--language=English", "--profile=balanced", "--variants=3"),
            *("--select-best", "--tone=--calm", "--instruct=-x", "--temperature=0.5"),
            *("--text-file", "t/a/text.txt", "--out-exact", "t/a", "--json-result", "t/a/result.json"),
        ],
    }


def test_a_folder_name_that_begins_with_a_dash_is_no_option() -> None:
    argv = build_argv(job("-x/y"))
    assert argv[-6:] == [
        *("--text-file", "./-x/y/text.txt", "--out-exact", "./-x/y", "--json-result", "./-x/y/result.json")
    ]
    assert parse_argv(argv, "-x/y")["voice"] == "newsroom"


def test_compiling_again_changes_nothing(tmp_path: Path) -> None:
    compile_jobs([job("a")], tmp_path / "out")
    (tmp_path / "out/a/take_01.wav").write_bytes(b"audio")
    assert compile_jobs([job("a")], tmp_path / "out")[1] == "unchanged"
    assert (tmp_path / "out/a/take_01.wav").read_bytes() == b"audio"


def test_an_earlier_compile_is_replaced_whole(tmp_path: Path) -> None:
    compile_jobs([job("a"), job("b")], tmp_path / "out")
    assert compile_jobs([job("c")], tmp_path / "out")[1] == "replaced"
    assert sorted(tree_of(tmp_path / "out")) == ["c/text.txt", "manifest.json"]
    assert names(tmp_path) == ["out"]


def test_an_earlier_compile_that_was_executed_is_not_replaced(tmp_path: Path) -> None:
    compile_jobs([job("a")], tmp_path / "out")
    (tmp_path / "out/a/take_01.wav").write_bytes(b"audio")
    before = tree_of(tmp_path / "out")
    with pytest.raises(InputError, match=r"holds a/take_01.wav, which is not of an earlier compile"):
        compile_jobs([job("b")], tmp_path / "out")
    assert tree_of(tmp_path / "out") == before


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"x")
    with pytest.raises(InputError, match=r"holds files, but no manifest.json of an earlier compile"):
        compile_jobs([job("a")], tmp_path)
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(InputError, match=r"holds a manifest.json that no compile wrote"):
        compile_jobs([job("a")], tmp_path)
    assert names(tmp_path) == ["manifest.json", "photo.jpg"]


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("x")
    with pytest.raises(InputError, match="is a file; name a folder"):
        compile_jobs([job("a")], tmp_path / "out")


def test_an_empty_folder_and_the_current_one_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    compile_jobs([job("a")], tmp_path / "empty")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    compile_jobs([job("a")], Path())
    assert tree_of(Path.cwd()) == tree_of(tmp_path / "empty")


def test_a_failure_half_way_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left") as raised:
        compile_jobs([job("a")], tmp_path / "out")
    assert raised.value.filename == str(tmp_path / "out")
    assert names(tmp_path) == []


def test_a_folder_that_cannot_be_renamed_over_is_filled_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "mount"
    out.mkdir()
    rename = Path.rename

    def busy(self: Path, target: Path) -> Path:
        if target == out:
            raise OSError(16, "Device or resource busy")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", busy)
    compile_jobs([job("a/b"), job("a/c")], out)
    assert sorted(tree_of(out)) == ["a/b/text.txt", "a/c/text.txt", "manifest.json"]
    assert names(tmp_path) == ["mount"]


def test_jobs_of_different_files_that_share_a_folder_are_refused() -> None:
    with pytest.raises(InputError, match="'a' is the output_name of"):
        build_manifest([job("a"), job("a", request_id="other")])


def test_the_manifest_can_be_moved(tmp_path: Path) -> None:
    compile_jobs([job("a/b")], tmp_path / "one")
    (tmp_path / "one").rename(tmp_path / "two words")
    assert load_manifest(tmp_path / "two words/manifest.json")["jobs"][0]["output_name"] == "a/b"


def test_estimates_grow_with_text_and_takes_and_know_syllabic_scripts() -> None:
    assert estimated_seconds("x" * 150) == 10.0
    assert estimated_seconds("x" * 150, 3) == 30.0
    assert estimated_seconds(".") == 0.5
    assert estimated_seconds("世" * 45) == 10.0
    assert deadline_seconds(100.0) == 2000.0


def test_a_file_in_the_place_of_a_parent_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for out in ("file/out", "file/deeper/out"):
        with pytest.raises(InputError, match=f"{out}: a part of this path is a file; name another folder with --out"):
            compile_jobs([job("a")], tmp_path / out)
