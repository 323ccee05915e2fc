"""A payload becomes a plan, or is refused."""

from __future__ import annotations

from typing import Any

import pytest

from lib.errors import SpoolDamaged, StorageRefused
from uploader.plan import make_plan, newer, safe_output_name

ROW = {"handed_ms": 1_700_000_000_000, "attempt": 0}


def payload(**changes: Any) -> dict[str, Any]:
    files = [
        {"path": "take_01.wav", "role": "take", "size": 3, "sha256": "a" * 64},
        {"path": "take_02.wav", "role": "take", "size": 3, "sha256": "b" * 64},
        {"path": "best.wav", "role": "best", "size": 3, "sha256": "a" * 64},
        {"path": "takes.meta.json", "role": "meta", "size": 2, "sha256": "c" * 64},
        {"path": "text.txt", "role": "text", "size": 2, "sha256": "d" * 64},
    ]
    whole = {"output_name": "show/a", "folder": "batch/0a1b2c3d-token", "attempt": 1, "take_token": "t", "files": files}
    return {**whole, **changes}


def test_a_plan_names_every_file_with_its_content_type() -> None:
    plan = make_plan("show:a", payload(), ROW)
    assert [file.content_type for file in plan.files] == [
        "audio/wav",
        "audio/wav",
        "audio/wav",
        "application/json",
        "text/plain; charset=utf-8",
    ]
    assert (plan.attempt, plan.handed_ms, plan.token) == (1, 1_700_000_000_000, "t")


def test_outputs_follow_the_roles() -> None:
    plan = make_plan("show:a", payload(), ROW)
    assert plan.outputs({file.name: f"at/{file.name}" for file in plan.files}) == {
        "best": "at/best.wav",
        "takes": ["at/take_01.wav", "at/take_02.wav"],
        "meta": "at/takes.meta.json",
        "text": "at/text.txt",
    }


def test_a_job_without_files_has_no_outputs_and_needs_no_folder() -> None:
    plan = make_plan("show:a", payload(files=[], folder=None), ROW)
    assert plan.outputs({}) == {"best": None, "takes": [], "meta": None, "text": None}


@pytest.mark.parametrize(
    "file",
    [
        {"path": "../take.wav"},
        {"path": "a/b.wav"},
        {"path": ".hidden"},
        {"path": "job.json"},
        {"path": ""},
        {"path": None},
        {"path": "a\n.wav"},
        {"size": -1},
        {"size": "3"},
        {"size": True},
        {"sha256": "A" * 64},
        {"sha256": "a" * 63},
        {"sha256": None},
        {"path": "take_02.wav"},
    ],
)
def test_a_file_no_hand_over_of_ours_would_name_is_damage(file: dict[str, Any]) -> None:
    files = payload()["files"]
    with pytest.raises(SpoolDamaged):
        make_plan("show:a", payload(files=[{**files[0], **file}, *files[1:]]), ROW)


@pytest.mark.parametrize("folder", ["../outside", "/etc", "a//b", "a/./b", "", None, 7, "a/b\n"])
def test_a_folder_outside_the_spool_is_damage(folder: object) -> None:
    with pytest.raises(SpoolDamaged):
        make_plan("show:a", payload(folder=folder), ROW)


@pytest.mark.parametrize("files", [None, "text", {"a": 1}, 7, [None]])
def test_files_that_are_no_list_are_damage(files: object) -> None:
    with pytest.raises(SpoolDamaged):
        make_plan("show:a", payload(files=files), ROW)


@pytest.mark.parametrize("name", [None, "", "/a", "a/", "a//b", "../a", "a/../b", "a\\b", "a\x00b", "x" * 2000, 7])
def test_an_unsafe_output_name_is_refused_for_good(name: object) -> None:
    assert not safe_output_name(name)
    with pytest.raises(StorageRefused):
        make_plan("show:a", payload(output_name=name), ROW)


def test_attempts_are_ordered_by_hand_over_and_then_by_number() -> None:
    plan = make_plan("show:a", payload(), ROW)
    assert newer((plan.handed_ms + 1, 0), plan)
    assert newer((plan.handed_ms, 2), plan)
    assert not newer((plan.handed_ms, 1), plan)
    assert not newer((plan.handed_ms - 1, 9), plan)
