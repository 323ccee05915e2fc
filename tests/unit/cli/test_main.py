"""The command group: help, version, did-you-mean, errors as text or JSON, documented exit codes, a clean end."""

from __future__ import annotations

import argparse
import errno
import json
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

from cli import main as group
from cli.exits import CommandFailed, NotFound, exit_code
from cli.main import COMMANDS, main
from lib.errors import (
    InputError,
    JobRunnerError,
    QueueCorrupt,
    QueueFull,
    QueueRefused,
    QueueUnavailable,
    TransientError,
)

ROOT = Path(__file__).parents[3]


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Make a command `boom` that raises `error`."""
    module = ModuleType("cli.commands.boom")

    def configure(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true")

    def run(args: argparse.Namespace) -> int:
        raise error

    module.configure, module.run = configure, run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cli.commands.boom", module)
    monkeypatch.setitem(group.COMMANDS, "boom", ("cli.commands.boom", "Fail"))


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"\n  {name} " in shown for name in COMMANDS)


def test_without_a_command_the_help_is_shown_as_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "usage: job-runner" in captured.err


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    assert f"usage: job-runner {name}" in capsys.readouterr().out
    assert main(["help", name]) == 0


def test_the_version_is_that_of_the_project(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert f'version = "{capsys.readouterr().out.split()[1]}"' in (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plna"], "job-runner: unknown command 'plna'; did you mean plan?"),
        (["xyzzy"], "job-runner: unknown command 'xyzzy'"),
        (["--versoin"], "job-runner: unknown option --versoin; did you mean --version?"),
        (["plan", "--jsno", "x"], "job-runner plan: unknown option --jsno; did you mean --json?"),
        (["plan", "--js", "x"], "job-runner plan: unknown option --js"),
        (["plan"], "job-runner plan: the following arguments are required: YAML"),
        (["plan", "a", "b"], "job-runner plan: unrecognized arguments: b"),
        (["compile", "x.yaml"], "job-runner compile: the following arguments are required: --out"),
        (["completion", "cmd"], "invalid choice: 'cmd'"),
    ],
)
def test_bad_usage_is_exit_code_2_with_one_line_and_a_hint(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert message in lines[0]
    assert lines[0].startswith("error: ")
    assert lines[1].startswith("  see `job-runner ")
    assert len(lines) == 2


def test_an_error_is_json_where_json_was_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "/no/such.yaml", "--json"]) == 2
    captured = capsys.readouterr()
    assert captured.err == ""
    line = "/no/such.yaml: no such file; check the path"
    assert json.loads(captured.out) == {
        "schema_version": 1,
        "error": {"type": "invalid_input", "message": line, "problems": [line]},
    }


def test_bad_usage_is_json_too_but_not_behind_two_dashes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--json", "--nonsense"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert (error["type"], error["hint"]) == ("usage", "see `job-runner plan --help`")
    assert main(["plan", "--", "--json"]) == 2
    assert capsys.readouterr().err == "error: --json: no such file; check the path\n"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError(["a", "b"]), 2),
        (QueueUnavailable("x"), 3),
        (QueueFull("x"), 3),
        (QueueRefused("x"), 3),
        (QueueCorrupt("x"), 3),
        (NotFound("x"), 4),
        (CommandFailed("x"), 1),
        (TransientError("x"), 1),
    ],
)
def test_each_family_of_errors_has_its_exit_code(
    error: JobRunnerError, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(monkeypatch, error)
    assert exit_code(error) == code
    assert main(["boom"]) == code
    problems = error.problems if isinstance(error, InputError) else ["x"]
    assert capsys.readouterr().err == "".join(f"error: {problem}\n" for problem in problems)
    assert main(["boom", "--json"]) == code
    assert json.loads(capsys.readouterr().out)["error"]["type"] == error.error_type


def test_a_hint_is_shown_below(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    failing(monkeypatch, NotFound("no record of x", hint="see `job-runner history`"))
    assert main(["boom"]) == 4
    assert capsys.readouterr().err == "error: no record of x\n  see `job-runner history`\n"


def test_a_full_disk_is_one_clear_line_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(monkeypatch, OSError(28, "No space left on device", "/out/manifest.json"))
    assert main(["boom"]) == 1
    assert capsys.readouterr().err == (
        "error: /out/manifest.json: No space left on device\n  make room there, then run the same command again\n"
    )


def test_interrupting_is_exit_code_130_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(monkeypatch, KeyboardInterrupt())
    assert main(["boom"]) == 130
    assert capsys.readouterr().err == "job-runner: interrupted\n"


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        main(["boom"])


def test_what_a_message_shows_cannot_steer_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(monkeypatch, CommandFailed("evil \x1b[2J\r\n\u202etxt"))
    assert main(["boom"]) == 1
    assert capsys.readouterr().err == "error: evil  [2J txt\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion_knows_commands_options_and_files(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "execute-manifest" in script
    assert "fail-fast" in script


@pytest.mark.parametrize(
    ("number", "hint"),
    [(errno.ENOSPC, "make room there"), (errno.EACCES, "name a place that this user may write"), (errno.EIO, "")],
)
def test_a_trouble_of_the_disk_names_the_place_and_says_what_to_do(
    number: int, hint: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(monkeypatch, OSError(number, os.strerror(number), "/some/place"))
    assert main(["boom", "--json"]) == 1
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["message"] == f"/some/place: {os.strerror(number)}"
    assert error.get("hint", "").startswith(hint)
    assert bool(error.get("hint")) == bool(hint)
