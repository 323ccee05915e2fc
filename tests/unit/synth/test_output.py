from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import pytest

from synth.errors import OutputUnwritable
from synth.output import Publication, write_json


def visible(folder):
    return sorted(entry.name for entry in folder.iterdir())


def test_nothing_is_visible_before_publishing_and_everything_after(tmp_path):
    out = tmp_path / "a" / "b"
    with Publication(out) as publication:
        entry = publication.add("take_01.wav", b"sound")
        assert not [name for name in visible(out) if not name.startswith(".")]
        publication.publish(None)
    assert entry == {"path": "take_01.wav", "size": 5, "sha256": hashlib.sha256(b"sound").hexdigest()}
    assert visible(out) == ["take_01.wav"]


def test_an_error_or_an_exit_leaves_nothing_behind(tmp_path):
    def end_with(end: BaseException) -> None:
        with Publication(tmp_path) as publication:
            publication.add("take_01.wav", b"sound")
            raise end

    for end in (ValueError("x"), SystemExit(143), KeyboardInterrupt()):
        with pytest.raises(type(end)):
            end_with(end)
    assert visible(tmp_path) == []


def test_a_second_run_replaces_its_own_files_whole_and_touches_no_other(tmp_path):
    result = tmp_path / "result.json"
    result.write_text("old", encoding="utf-8")
    for name in (
        "take_01.wav",
        "take_07.wav",
        "take_100.wav",
        "best.wav",
        "takes.meta.json",
        "notes.txt",
        "take_x.wav",
    ):
        (tmp_path / name).write_bytes(b"old")
    with Publication(tmp_path) as publication:
        publication.add("take_01.wav", b"new")
        publication.publish(result)
    assert visible(tmp_path) == ["notes.txt", "take_01.wav", "take_x.wav"]
    assert (tmp_path / "take_01.wav").read_bytes() == b"new"


def test_what_a_killed_process_left_is_swept_and_a_living_ones_is_not(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (tmp_path / f".voice-synth-{gone.pid}.tmp").mkdir()
    living = tmp_path / f".voice-synth-{os.getppid()}.tmp"
    living.mkdir()
    with Publication(tmp_path) as publication:
        publication.publish(None)
    assert visible(tmp_path) == [living.name]


def test_a_folder_that_cannot_be_made_is_an_error_of_ours(tmp_path):
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(OutputUnwritable, match="cannot write"), Publication(tmp_path / "file" / "out"):
        pass
    with pytest.raises(OutputUnwritable, match="cannot write"):
        write_json(tmp_path / "file" / "r.json", {})


def test_json_is_written_whole_and_leaves_nothing_aside(tmp_path):
    write_json(tmp_path / "deep" / "r.json", {"text": "Grüße"})
    assert (tmp_path / "deep" / "r.json").read_text(encoding="utf-8") == '{\n  "text": "Grüße"\n}\n'
    assert visible(tmp_path / "deep") == ["r.json"]
