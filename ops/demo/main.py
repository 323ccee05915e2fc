"""`make demo`: from a YAML file to narrated audio on the disk, by the real parts as separate processes.

Owns the order of events, what the reader sees, and the exit code: 0 only when every job is done, every file is speech
by its length and level, and nothing keeps running. Refuses to fake any part of it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from ops.demo.audio import count_words, measure, why_not_speech
from ops.demo.commands import FINAL, JobRunner
from ops.demo.line import DemoError, Line, claimed
from ops.demo.redis_binary import NoRedisServerError

ROOT = Path(__file__).resolve().parents[2]
LIMIT_SECONDS = 900.0


@dataclass(frozen=True)
class Spoken:
    """One file of finished audio, and what is wrong with it if anything is."""

    name: str
    seconds: float
    level_dbfs: float
    engine: str
    words_per_second: float
    problem: str | None


def main(arguments: list[str] | None = None) -> int:
    """Run the demo; returns its exit code."""
    parser = argparse.ArgumentParser(prog="demo", description="Make narrated audio with every real part, here and now.")
    parser.add_argument("yaml", nargs="?", default=shown(ROOT / "jobs.example.yaml"), help="file with jobs")
    options = parser.parse_args(arguments)
    folder = Path(os.environ.get("DEMO_DIR") or ROOT / "demo-output").absolute()
    signal.signal(signal.SIGTERM, interrupt)
    try:
        with claimed(folder):
            return demonstrate(options.yaml, folder)
    except (DemoError, NoRedisServerError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # whoever read our output has left, and the line has been stopped
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("\ndemo: interrupted; everything was stopped", file=sys.stderr)
        return 130


def interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def demonstrate(file: str, folder: Path) -> int:
    """Plan, start the line, enqueue, wait, stop the line, show the audio."""
    started = time.monotonic()
    line = Line(folder)
    job_runner = JobRunner(line.environment())
    job_runner.show("plan", file)
    print("Starting Redis, watcher, provisioner and uploader under supervisord …", flush=True)
    with line:
        job_runner = JobRunner(line.environment())
        job_runner.show("enqueue", file)
        states = follow(line, job_runner, file)
        spoken = [listen(job_runner.ask("result", name), folder) for name, state in states.items() if state == "done"]
        failed = {name: job_runner.ask("result", name) for name, state in states.items() if state != "done"}
    line.check_nothing_left()
    print(table(spoken))
    for name, record in failed.items():
        print(f"{name} ended as {states[name]}: {record_of(record).get('error')}", file=sys.stderr)
    bad = [one for one in spoken if one.problem]
    for one in bad:
        print(f"{one.name} does not sound like speech: {one.problem}", file=sys.stderr)
    if failed or bad or not spoken:
        print(f"\ndemo: failed; the log is {shown(line.log)}", file=sys.stderr)
        return 1
    print(closing(folder, line.log, time.monotonic() - started))
    return 0


def follow(line: Line, job_runner: JobRunner, file: str) -> dict[str, str]:
    """Show how far the jobs are until all have ended; returns their final states."""
    deadline = time.monotonic() + LIMIT_SECONDS
    before = ""
    while True:
        states = job_runner.states(file)
        counts = {state: list(states.values()).count(state) for state in sorted(set(states.values()))}
        now = f"  {sum(counts.get(state, 0) for state in FINAL)} of {len(states)} jobs ended" + "".join(
            f", {count} {state}" for state, count in counts.items()
        )
        if now != before:
            print(now, flush=True)
            before = now
        if all(state in FINAL for state in states.values()):
            print(flush=True)
            return states
        if not line.alive():
            raise DemoError(f"the workers ended before the jobs did; their last words:\n{tail(line.log)}")
        if time.monotonic() > deadline:
            raise DemoError(f"not done after {LIMIT_SECONDS:.0f} s; the log is {shown(line.log)}")
        time.sleep(0.5)


def record_of(answer: dict[str, Any]) -> dict[str, Any]:
    """The record in what `result --json` prints."""
    record: dict[str, Any] = answer.get("record") or {}
    return record


def listen(answer: dict[str, Any], folder: Path) -> Spoken:
    """Measure the audio of one finished job against its text."""
    record = record_of(answer)
    outputs = record["outputs"]
    path = Path(outputs["best"] or outputs["takes"][0])
    text = Path(outputs["text"]).read_text(encoding="utf-8")
    meta = json.loads(Path(outputs["meta"]).read_text(encoding="utf-8"))
    name = path.relative_to(folder / "audio").as_posix()
    try:
        measured = measure(path)
    except (OSError, ValueError) as error:
        return Spoken(name, 0.0, -120.0, str(meta.get("engine")), 0.0, str(error))
    pace = count_words(text) / measured.seconds if measured.seconds else 0.0
    problem = why_not_speech(measured, text)
    return Spoken(name, measured.seconds, measured.level_dbfs, str(meta.get("engine")), pace, problem)


def table(spoken: list[Spoken]) -> str:
    """The finished files, a line each."""
    width = max((len(one.name) for one in spoken), default=4)
    lines = [f"{'file':{width}}  seconds  level dBFS  engine  words/s"]
    for one in spoken:
        row = f"{one.name:{width}}  {one.seconds:7.1f}  {one.level_dbfs:10.1f}  {one.engine:6}"
        lines.append(f"{row}  {one.words_per_second:7.1f}")
    return "\n".join(lines)


def shown(path: Path) -> str:
    """A path as short as the reader's folder allows."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def closing(folder: Path, log: Path, seconds: float) -> str:
    return f"""
Done in {seconds:.0f} s; nothing keeps running.

  audio       {shown(folder / "audio")}/
  logs        {shown(log)}

Go on:
  make demo FILE=my.yaml                 your own lines; jobs.example.yaml shows the format
  ./run job-runner plan my.yaml          check a file
  ./run job-runner run my.yaml           speak it on this machine without a queue
  ./run redis, ./run supervisor          the same line to stay, each in a terminal of its own
  ./run job-runner enqueue my.yaml       then put your jobs on its queue"""


def tail(path: Path, lines: int = 15) -> str:
    """The last lines of a log."""
    return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
