"""The spool folder: its name, its folders, and what is swept."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lib.spool import free_bytes, job_folder, spool_name, sweep


def folder(spool: Path, relative: str, age_seconds: float = 7200) -> Path:
    path = spool / relative
    path.mkdir(parents=True)
    (path / "take_01.wav").write_bytes(b"audio")
    for one in (path, path.parent):
        before = one.stat().st_mtime - age_seconds
        os.utime(one, (before, before))
    return path


def test_the_name_is_made_once_and_stays(tmp_path: Path) -> None:
    name = spool_name(tmp_path / "spool")
    assert len(name) == 12
    assert spool_name(tmp_path / "spool") == name
    assert spool_name(tmp_path / "other") != name


def test_a_name_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".spool-id").write_text("not a name")
    with pytest.raises(ValueError, match="remove the file"):
        spool_name(tmp_path)


def test_each_claim_has_a_folder_of_its_own_for_a_job() -> None:
    first = job_folder("batch-1", "topic:beat-001", "a" * 32)
    assert first.startswith("batch-1/")
    assert len({first, job_folder("batch-1", "topic:beat-001", "b" * 32), job_folder("batch-1", "x", "a" * 32)}) == 3
    assert job_folder("b", "\udcff", "a" * 32)


def test_only_old_folders_that_nothing_names_are_swept(tmp_path: Path) -> None:
    named, stray, young = folder(tmp_path, "b1/named"), folder(tmp_path, "b1/stray"), folder(tmp_path, "b2/young", 60)
    partial = folder(tmp_path, "b3/.partial-x")
    assert sorted(sweep(tmp_path, lambda: {"b1/named"})) == ["b1/stray", "b3/.partial-x"]
    assert named.exists()
    assert young.exists()
    assert not stray.exists()
    assert not partial.exists()


def test_empty_folders_of_old_batches_go_too(tmp_path: Path) -> None:
    empty = tmp_path / "b1"
    empty.mkdir()
    os.utime(empty, (1, 1))
    (tmp_path / "b2").mkdir()
    assert sweep(tmp_path, set) == []
    assert not empty.exists()
    assert (tmp_path / "b2").exists()


def test_nothing_is_asked_when_nothing_is_old(tmp_path: Path) -> None:
    folder(tmp_path, "b1/young", 60)

    def ask() -> set[str]:
        raise AssertionError("the queue was asked")

    assert sweep(tmp_path, ask) == []


def test_links_are_neither_followed_nor_removed(tmp_path: Path) -> None:
    outside = folder(tmp_path / "outside", "x/y")
    spool = tmp_path / "spool"
    (spool / "b1").mkdir(parents=True)
    (spool / "b1/link").symlink_to(outside)
    assert sweep(spool, set) == []
    assert outside.exists()


def test_the_room_left_is_that_of_the_disk(tmp_path: Path) -> None:
    assert free_bytes(tmp_path) > 0
