"""What the operator types: `make …` and `./run …` hand every word on unharmed, and say what is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ECHO = "#!/bin/sh\nfor word; do printf '<%s>' \"$word\"; done; echo\n"
NOT_INHERITED = {"ARGS", "FILE", "ID", "JOBS_FILE", "JOBS_ID", "MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "MAKELEVEL"} | {
    *("JOB_RUNNER_IN_IMAGE", "PROVISIONER_WORK_DIR", "PYTHON"),
}
TOOLS = ("bash", "cat", "cksum", "dirname", "flock", "grep", "mkdir", "mv", "rm")


def executable(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def call(*command: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
    return subprocess.run(
        command, cwd=cwd, env={**kept, **variables}, capture_output=True, text=True, check=False, timeout=30
    )


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A folder whose name has a space, with the Makefile and a `run` that shows its words."""
    folder = tmp_path / "a folder"
    executable(folder / "run", ECHO)
    shutil.copy(ROOT / "Makefile", folder)
    return folder


@pytest.mark.parametrize(
    ("words", "handed_on"),
    [
        (["jobs-plan", "FILE=my jobs.yaml"], "<job-runner><plan><my jobs.yaml>"),
        (["jobs-plan", "FILE=a$b'c\"d;`e`.yaml"], "<job-runner><plan><a$b'c\"d;`e`.yaml>"),
        (
            ["jobs-enqueue", "FILE=j.yaml", "ARGS=--redis-url x --json"],
            "<job-runner><enqueue><j.yaml><--redis-url><x><--json>",
        ),
        (["jobs-status"], "<job-runner><status>"),
        (["jobs-status", "ARGS=--json"], "<job-runner><status><--json>"),
        (["jobs-history", "ARGS=--status failed"], "<job-runner><history><--status><failed>"),
        (["jobs-result", "ID=topic:beat-001"], "<job-runner><result><topic:beat-001>"),
        (["jobs-report", "FILE=j.yaml"], "<job-runner><report><j.yaml>"),
        (["jobs-retry", "ID=topic:beat 1", "ARGS=--yes"], "<job-runner><retry><topic:beat 1><--yes>"),
        (["jobs-flush"], "<job-runner><flush>"),
        (["jobs-flush", "ARGS=--hard --yes"], "<job-runner><flush><--hard><--yes>"),
        (["jobs-dashboard"], "<job-runner><status>\n\n<job-runner><history>"),
        (["demo"], "<demo>"),
        (["demo", "FILE=my jobs.yaml"], "<demo><my jobs.yaml>"),
    ],
)
def test_a_shortcut_hands_its_words_on_unharmed(made: Path, words: list[str], handed_on: str) -> None:
    answer = call("make", *words, cwd=made)
    assert (answer.stdout, answer.stderr, answer.returncode) == (handed_on + "\n", "", 0)


@pytest.mark.parametrize(
    ("target", "missing"),
    [
        ("jobs-plan", "FILE"),
        ("jobs-enqueue", "FILE"),
        ("jobs-report", "FILE"),
        ("jobs-result", "ID"),
        ("jobs-retry", "ID"),
    ],
)
def test_a_shortcut_without_its_file_or_id_says_which_is_missing(made: Path, target: str, missing: str) -> None:
    answer = call("make", target, cwd=made)
    assert answer.returncode != 0
    assert f"make {target} {missing}=" in answer.stderr.splitlines()[0]
    assert answer.stdout == ""


def test_jobs_logs_shows_the_latest_execution_wherever_it_lies(made: Path) -> None:
    for number, place in enumerate(["demo-output/work/a b", "job-runs/run-1"]):
        (made / place).mkdir(parents=True)
        (made / place / "execution.json").write_text(place)
        os.utime(made / place / "execution.json", (number, number))
    answer = call("make", "jobs-logs", cwd=made)
    assert answer.stdout == "job-runs/run-1"
    assert answer.stderr == "job-runs/run-1/execution.json\n"


def test_jobs_logs_says_where_it_looked_when_there_is_none(made: Path) -> None:
    answer = call("make", "jobs-logs", cwd=made)
    assert answer.returncode != 0
    assert "no execution.json yet (looked in work, job-runs, .run, demo-output)" in answer.stderr


def test_help_lists_the_shortcuts(made: Path) -> None:
    answer = call("make", cwd=made)
    assert "  jobs-dashboard   status and recent history\n" in answer.stdout
    assert "  demo " in answer.stdout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose environment is there already and whose interpreter shows its words."""
    folder = tmp_path / "a checkout"
    executable(folder / "run", (ROOT / "run").read_text())
    executable(folder / "ops" / "make_environment.sh", "#!/bin/sh\n")
    executable(folder / ".venv" / "bin" / "python", ECHO)
    (folder / "pyproject.toml").touch()
    return folder


@pytest.mark.parametrize(
    ("program", "module"),
    [("job-runner", "cli"), ("voice-synth", "synth"), ("watcher", "watcher"), ("demo", "ops.demo")],
)
def test_run_forwards_to_the_program_from_any_folder(checkout: Path, program: str, module: str) -> None:
    answer = call(str(checkout / "run"), program, "plan", "my jobs.yaml", "", cwd=checkout.parent)
    assert (answer.stdout, answer.stderr) == (f"<-P><-m><{module}><plan><my jobs.yaml><>\n", "")


def test_run_hands_on_the_exit_code(checkout: Path) -> None:
    executable(checkout / ".venv" / "bin" / "python", "#!/bin/sh\nexit 7\n")
    assert call("./run", "watcher", cwd=checkout).returncode == 7


def test_run_reads_dot_env_without_executing_it_and_the_environment_wins(checkout: Path) -> None:
    (checkout / ".env").write_text(
        "# a comment\nKEY_PREFIX='x y:'\nLOG_LEVEL=$(touch pwned)\nSPOOL_DIR=file\nbad line\n"
    )
    executable(checkout / ".venv" / "bin" / "python", '#!/bin/sh\necho "$KEY_PREFIX|$LOG_LEVEL|$SPOOL_DIR"\n')
    assert call("./run", "watcher", cwd=checkout, SPOOL_DIR="given").stdout == "x y:|$(touch pwned)|given\n"
    assert not (checkout / "pwned").exists()
    assert call("./run", "demo", cwd=checkout).stdout == "||\n", "the demo has settings of its own"


def test_run_uses_what_is_on_path_inside_the_image(checkout: Path) -> None:
    programs = executable(checkout / "image" / "python3", '#!/bin/sh\necho image "$@"\n').parent
    answer = call("./run", "watcher", cwd=checkout, JOB_RUNNER_IN_IMAGE="1", PATH=f"{programs}:{os.environ['PATH']}")
    assert answer.stdout == "image -P -m watcher\n"


def test_run_names_the_programs_when_it_knows_not_the_one_asked_for(checkout: Path) -> None:
    answer = call("./run", "wacher", cwd=checkout)
    assert answer.returncode == 2
    assert "there is no program wacher" in answer.stderr
    assert "job-runner" in answer.stderr


def prepare(folder: Path, python: str | None) -> subprocess.CompletedProcess[str]:
    """Make the environment of `folder` where PATH has no Python but this one."""
    tools = folder / "tools"
    tools.mkdir()
    for tool in TOOLS:
        (tools / tool).symlink_to(str(shutil.which(tool)))
    if python is not None:
        executable(tools / "python3", python)
    for name in ("demo", "redis"):
        (folder / "requirements").mkdir(exist_ok=True)
        (folder / "requirements" / f"{name}.txt").touch()
    (folder / "pyproject.toml").touch()
    script = str(ROOT / "ops" / "make_environment.sh")
    return call(str(tools / "bash"), script, str(folder), "demo", cwd=folder, PATH=str(tools))


def test_a_machine_without_a_recent_python_is_told_which_were_looked_for(tmp_path: Path) -> None:
    answer = prepare(tmp_path, python="#!/bin/sh\nexit 1\n")
    assert answer.returncode == 1
    assert "no Python 3.11 or newer found (looked for python3, python3.13" in answer.stderr


def test_a_python_without_venv_is_told_which_package_brings_it(tmp_path: Path) -> None:
    answer = prepare(tmp_path, python='#!/bin/sh\ncase "$2" in *ensurepip*) exit 1 ;; esac\n')
    assert answer.returncode == 1
    assert "its venv module is missing (on Debian and Ubuntu: apt-get install python3-venv)" in answer.stderr
    assert not (tmp_path / ".venv").exists()


def test_an_installation_that_fails_says_so_and_is_tried_again(tmp_path: Path) -> None:
    fails = "#!/bin/sh\necho 'no route to the packages' >&2; exit 1\n"
    makes_venv = f"""#!/bin/sh
[ "$2" != venv ] || {{ mkdir -p "$4/bin"; printf '%s' {fails!r} >"$4/bin/python"; chmod() {{ /bin/chmod "$@"; }}
chmod +x "$4/bin/python"; }}
"""
    answer = prepare(tmp_path, python=makes_venv)
    assert answer.returncode == 1
    assert "the packages could not be installed (see above)" in answer.stderr
    assert not (tmp_path / ".venv" / ".made-from").exists()
