"""The work folder: held by one provisioner, and made again when somebody removed it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lib.errors import InputError
from provisioner.housekeeping import WorkFolder


def test_a_folder_that_somebody_removed_is_made_again_and_held_again(tmp_path: Path) -> None:
    folder = WorkFolder(tmp_path / "work").take()
    shutil.rmtree(folder.path)
    assert folder.trouble(1) is None
    assert folder.path.is_dir()
    with pytest.raises(InputError, match="another live provisioner"):
        WorkFolder(tmp_path / "work").take()
    folder.give_back()
    WorkFolder(tmp_path / "work").take().give_back()


def test_a_folder_that_cannot_be_made_again_is_said(tmp_path: Path) -> None:
    folder = WorkFolder(tmp_path / "work").take()
    shutil.rmtree(folder.path)
    folder.path.write_text("a file")
    assert "cannot be used" in str(folder.trouble(1))
    folder.give_back()
