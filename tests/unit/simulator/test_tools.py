"""What a box is made of: a clear word where it is missing."""

from __future__ import annotations

import shutil

import pytest

from ops.simulator.main import main
from ops.simulator.tools import MissingToolError, find_tools


def test_without_sshd_the_message_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name, path=None: None)
    with pytest.raises(MissingToolError, match="apt-get install openssh-server"):
        find_tools()
    assert main(["--port", "0"]) == 1
    assert "apt-get install openssh-server" in capsys.readouterr().err


def test_a_speed_that_makes_no_sense_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--speed", "0"]) == 1
    assert "--speed 0 is not from 0.01" in capsys.readouterr().err
