"""The spool is checked without following a link, and cleared without leaving it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from lib.errors import SpoolDamaged, StorageUnavailable
from lib.spool import spool_name
from uploader.plan import UploadPlan, make_plan
from uploader.spool_files import SpoolFiles

CONTENT = b"audio"


def plan(folder: str = "batch/job") -> UploadPlan:
    file = {"path": "a.wav", "role": "take", "size": len(CONTENT), "sha256": hashlib.sha256(CONTENT).hexdigest()}
    return make_plan("show:a", {"output_name": "show/a", "folder": folder, "files": [file]}, {"handed_ms": 5})


@pytest.fixture
def spool(tmp_path: Path) -> SpoolFiles:
    root = tmp_path / "spool"
    spool_name(root)
    (root / "batch/job").mkdir(parents=True)
    (root / "batch/job/a.wav").write_bytes(CONTENT)
    return SpoolFiles(root)


def test_whole_files_pass(spool: SpoolFiles) -> None:
    spool.check(plan())


def test_a_pipe_in_the_place_of_a_file_is_damage_and_holds_nobody(spool: SpoolFiles) -> None:
    (spool.root / "batch/job/a.wav").unlink()
    os.mkfifo(spool.root / "batch/job/a.wav")
    with pytest.raises(SpoolDamaged):
        spool.check(plan())


def test_a_linked_folder_is_damage(spool: SpoolFiles, tmp_path: Path) -> None:
    (spool.root / "batch").rename(tmp_path / "elsewhere")
    (spool.root / "batch").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SpoolDamaged):
        spool.check(plan())


def test_a_spool_that_is_away_is_no_damage(spool: SpoolFiles) -> None:
    spool.root.rename(spool.root.with_name("away"))
    with pytest.raises(StorageUnavailable):
        spool.check(plan())
    spool.root.mkdir()
    with pytest.raises(StorageUnavailable):
        spool.check(plan())


def test_removing_twice_is_fine_and_an_empty_name_removes_nothing(spool: SpoolFiles) -> None:
    spool.remove("batch/job")
    spool.remove("batch/job")
    spool.remove("")
    assert not (spool.root / "batch/job").exists()
    assert spool.root.exists()


def test_a_note_reads_back_as_the_same_plan(spool: SpoolFiles) -> None:
    spool.note_settled(plan())
    (note,) = spool.settled()
    assert make_plan(note["request_id"], note, note) == plan()


def test_a_note_that_names_another_folder_is_ignored(spool: SpoolFiles) -> None:
    spool.note_settled(plan())
    (spool.root / "batch/job").rename(spool.root / "batch/moved")
    assert list(spool.settled()) == []
