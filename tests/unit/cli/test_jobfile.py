"""What the commands that read a file of jobs begin with."""

from __future__ import annotations

from pathlib import Path

import pytest

from lib.manifest import tree
from tests.support.command import job_runner_inside


def test_a_yaml_library_without_its_fast_loader_is_said_so_and_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "jobs.yaml"
    path.write_text("{output_name: a, speaker: Ryan, text: Hi}", encoding="utf-8")
    assert job_runner_inside("plan", str(path)).err == ""
    monkeypatch.setattr(tree, "HAS_C_LOADER", False)
    ran = job_runner_inside("plan", str(path))
    assert ran.code == 0
    assert "no C loader (libyaml)" in ran.err
