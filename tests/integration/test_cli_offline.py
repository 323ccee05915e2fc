"""The offline commands as a user runs them: real processes, the real voice-synth, real signals and pipes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import wave
from pathlib import Path

import pytest

from tests.support import fake_synth
from tests.support.wait import wait_until

ROOT = Path(__file__).parents[2]
RUN = [sys.executable, "-m", "cli"]
YAML = """
defaults: {voice: newsroom}
jobs:
  - {output_name: t/one, text: Hello from the first job.}
  - {output_name: t/two, text: And from the second., speaker: ryan, voice: null}
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A plain environment: nothing of the machine's own settings, and the project importable from anywhere."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, "PYTHONPATH": str(ROOT), "TERM": "dumb", "JOB_RUNNER_CACHE": str(ROOT / "cache")}


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    (tmp_path / "my jobs.yaml").write_text(YAML)
    return tmp_path / "my jobs.yaml"


def run(
    *arguments: str | Path, cwd: Path, env: dict[str, str], code: int = 0, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run job-runner and check its exit code."""
    done = subprocess.run(
        [*RUN, *map(str, arguments)], cwd=cwd, env=env, text=True, capture_output=True, timeout=timeout, check=False
    )
    assert done.returncode == code, done
    return done


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def scripted(environment: dict[str, str], folder: Path) -> dict[str, str]:
    """Put the scripted synth in the place of voice-synth."""
    program = folder / "synth"
    program.write_text(f"#!/bin/sh\nexec '{sys.executable}' -S -E '{fake_synth.__file__}' \"$@\"\n")
    program.chmod(0o755)
    return {**environment, "VOICE_SYNTH_BIN": str(program)}


def test_a_plan_shows_jobs_and_sums_and_writes_nothing(jobs: Path, environment: dict[str, str]) -> None:
    done = run("plan", jobs, cwd=jobs.parent, env=environment)
    assert "t/one" in done.stdout
    assert "2 jobs, 45 characters, about 3.0 s of audio\nvoices: newsroom 1, ryan 1\n" in done.stdout
    assert "\x1b" not in done.stdout
    assert done.stderr == ""
    assert names(jobs.parent) == [jobs.name]


def test_a_plan_in_json_has_the_documented_shape(jobs: Path, environment: dict[str, str]) -> None:
    plan = json.loads(run("plan", jobs, "--json", cwd=jobs.parent, env=environment).stdout)
    assert list(plan) == ["schema_version", "command", "file", "jobs", "totals"]
    assert list(plan["jobs"][0]) == [
        *("request_id", "output_name", "voice", "speaker", "language", "profile", "variants", "characters"),
        *("estimated_seconds", "content_hash"),
    ]
    assert plan["totals"] == {
        "jobs": 2,
        "characters": 45,
        "estimated_audio_seconds": 3.0,
        "estimated_speech_seconds": 3.0,
        "voices": {"newsroom": 1, "ryan": 1},
    }


def test_missing_voices_are_named_with_the_nearest(jobs: Path, environment: dict[str, str]) -> None:
    jobs.write_text(
        "jobs:\n- {output_name: a, voice: newsrom, text: x}\n- {output_name: b, voice: newsrom, text: x}\n"
        "- {output_name: c, speaker: Rian, text: x}\n- {output_name: d, voice: zzz, text: x}\n"
    )
    done = run("plan", jobs, cwd=jobs.parent, env=environment, code=2)
    voices = ROOT / "cache/voices"
    assert done.stderr.splitlines() == [
        f"error: {jobs}:2: jobs[0].voice: no voice 'newsrom' in {voices} (2 jobs ask for it); nearest: newsroom",
        f"error: {jobs}:4: jobs[2].speaker: no speaker 'Rian'; did you mean Ryan, Vivian, Eric?",
        f"error: {jobs}:5: jobs[3].voice: no voice 'zzz' in {voices}; there are: newsroom, storyteller",
    ]
    empty = run("plan", jobs, "--cache", jobs.parent, cwd=jobs.parent, env=environment, code=2)
    assert "that folder holds no voice; name another with --cache" in empty.stderr


def test_long_plans_are_previewed(jobs: Path, environment: dict[str, str]) -> None:
    jobs.write_text("".join(f"- {{output_name: o{row}, voice: newsroom, text: x}}\n" for row in range(60)))
    short = run("plan", jobs, cwd=jobs.parent, env=environment).stdout
    assert "... and 10 more (--all shows them)" in short
    assert "o59" not in short
    assert "o59" in run("plan", jobs, "--all", cwd=jobs.parent, env=environment).stdout


def test_compile_writes_the_same_bytes_twice(jobs: Path, environment: dict[str, str]) -> None:
    folder = jobs.parent
    done = run("compile", jobs, "--out", "one", cwd=folder, env=environment)
    assert done.stdout.startswith("one/manifest.json: 2 jobs, run-")
    shown = json.loads(run("compile", jobs, "--out", "two", "--json", cwd=folder, env=environment).stdout)
    assert (shown["schema_version"], shown["command"], shown["state"], shown["jobs"]) == (1, "compile", "created", 2)
    assert (folder / "one/manifest.json").read_bytes() == (folder / "two/manifest.json").read_bytes()


def test_a_dry_run_shows_what_would_run_and_leaves_nothing(jobs: Path, environment: dict[str, str]) -> None:
    done = run("run", jobs, "--dry-run", cwd=jobs.parent, env=environment)
    assert "voice-synth speak --voice=newsroom --language=English --profile=balanced --variants=1 " in done.stdout
    assert "2 jobs would run; nothing was run" in done.stdout
    shown = json.loads(run("run", jobs, "--dry-run", "--json", cwd=jobs.parent, env=environment).stdout)
    assert (shown["dry_run"], shown["folder"], len(shown["jobs"])) == (True, None, 2)
    assert names(jobs.parent) == [jobs.name]
    run("run", jobs, "--dry-run", "--out", "kept", cwd=jobs.parent, env=environment)
    assert (jobs.parent / "kept/manifest.json").exists()


def test_run_speaks_on_this_machine_and_a_second_run_does_nothing_twice(
    jobs: Path, environment: dict[str, str]
) -> None:
    done = run("run", jobs, cwd=jobs.parent, env=environment)
    (folder,) = (jobs.parent / "job-runs").iterdir()
    assert f"2 jobs done, 0 failed; the audio lies in job-runs/{folder.name}" in done.stdout
    with wave.open(str(folder / "t/one/take_01.wav")) as audio:
        assert audio.getnframes() / audio.getframerate() > 0.5
    report = json.loads(run("run", jobs, "--json", cwd=jobs.parent, env=environment).stdout)
    assert [job["kept"] for job in report["jobs"]] == [True, True]
    assert (report["command"], report["done"], report["folder"]) == ("run", 2, f"job-runs/{folder.name}")


def test_a_failed_job_is_exit_code_1_and_its_log_is_named(jobs: Path, environment: dict[str, str]) -> None:
    jobs.write_text(
        "- {output_name: a, voice: newsroom, text: permanent}\n- {output_name: b, voice: newsroom, text: ok}\n"
    )
    env = scripted(environment, jobs.parent)
    run("compile", jobs, "--out", "out", cwd=jobs.parent, env=env)
    done = run("execute-manifest", "out/manifest.json", cwd=jobs.parent, env=env, code=1)
    assert "failed  a" in done.stdout
    assert "bad: no" in done.stdout
    assert "1 job done, 1 failed; the audio lies in out\n" in done.stdout
    assert "what the first failed job said: out/logs/0001-stderr.log" in done.stdout
    report = json.loads(
        run("execute-manifest", "out/manifest.json", "--fail-fast", "--json", cwd=jobs.parent, env=env, code=1).stdout
    )
    assert [job["status"] for job in report["jobs"]] == ["failed", "not_run"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_executor_ends_its_job_and_says_how_to_go_on(
    number: signal.Signals, jobs: Path, environment: dict[str, str]
) -> None:
    jobs.write_text("- {output_name: a, voice: newsroom, text: hang}\n")
    env = scripted(environment, jobs.parent)
    out = jobs.parent / "out"
    process = subprocess.Popen(
        [*RUN, "run", str(jobs), "--out", "out"], cwd=jobs.parent, env=env, stderr=subprocess.PIPE, stdout=-3
    )
    wait_until(lambda: (out / "ready.txt").exists() and "job_started" in (out / "events.jsonl").read_text())
    process.send_signal(number)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 128 + number
    assert said == b"job-runner: stopped; the same command goes on where this one ended\n"
    pid = int((out / "ready.txt").read_text())
    wait_until(lambda: not Path(f"/proc/{pid}").exists())
    assert '"status":"killed"' in (out / "events.jsonl").read_text()


def test_a_reader_that_leaves_early_ends_the_command_quietly(jobs: Path, environment: dict[str, str]) -> None:
    jobs.write_text("".join(f"- {{output_name: o{row}, voice: newsroom, text: x}}\n" for row in range(5000)))
    process = subprocess.Popen(
        [*RUN, "plan", str(jobs), "--json"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(20) == 141


def test_standard_output_on_a_full_disk_is_one_clear_line(jobs: Path, environment: dict[str, str]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*RUN, "plan", str(jobs)], env=environment, stdout=full, stderr=subprocess.PIPE, check=False, timeout=30
        )
    assert done.returncode == 1
    assert done.stderr == (b"error: No space left on device\n  make room there, then run the same command again\n")


def test_characters_that_the_terminal_lacks_are_escaped(jobs: Path, environment: dict[str, str]) -> None:
    jobs.write_text("- {output_name: 世界, voice: newsroom, text: x}\n")
    done = run("plan", jobs, cwd=jobs.parent, env={**environment, "PYTHONIOENCODING": "ascii"})
    assert "\\u4e16\\u754c" in done.stdout


@pytest.mark.parametrize(
    "command", [["--help"], ["plan", "FILE"], ["compile", "FILE", "--out", "out"], ["plan", "--x"]]
)
def test_offline_commands_import_nothing_heavy(command: list[str], jobs: Path, environment: dict[str, str]) -> None:
    words = [str(jobs) if word == "FILE" else word for word in command]
    code = (
        "import sys\nfrom cli.main import main\nmain(sys.argv[1:])\n"
        "heavy = {'redis', 'boto3', 'botocore', 'pydantic', 'paramiko', 'vastai', 'prometheus_client', 'inspect',"
        " 'dataclasses', 'click', 'typing', 'subprocess'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy - ({'typing'} if sys.argv[1] == 'compile' else set()) else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=jobs.parent, env=environment, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("redirection", "code"), [(">&-", 0), (">&- 2>&-", 0), ("nope.yaml 2>&-", 2)])
def test_a_closed_output_changes_no_exit_code(
    redirection: str, code: int, tmp_path: Path, environment: dict[str, str], jobs: Path
) -> None:
    line = f"'{sys.executable}' -m cli plan {'' if 'nope' in redirection else repr(str(jobs))} {redirection}"
    done = subprocess.run(
        ["sh", "-c", line], cwd=tmp_path, env=environment, capture_output=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (code, b"", b"")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_was_written_in_part_only_is_a_failure(
    unbuffered: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    rows = "".join(f"- {{output_name: t/{row}, voice: newsroom, text: Hello.}}\n" for row in range(100))
    (tmp_path / "jobs.yaml").write_text(rows)
    command = f"ulimit -f 8 && exec '{sys.executable}' -m cli plan jobs.yaml --json >out.json"  # 8 blocks of 512
    environment = {**environment, "PYTHONUNBUFFERED": unbuffered, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        ["sh", "-c", command], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (1, b"job-runner: File too large\n")
