"""Executing a manifest on this machine for a person: progress, signals, the voices' folder, the summary."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from types import FrameType

from cli import console
from cli.exits import FAILED, OK
from cli.progress import Progress
from lib.manifest.execution import execute

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Stopper:
    """Turns the first stop signal into an event, so that the running job's processes are ended and recorded."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.number = 0
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> Stopper:
        if threading.current_thread() is threading.main_thread():
            for number in STOP_SIGNALS:
                self._before[number] = signal.signal(number, self._stop)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal returned

    def _stop(self, number: int, _: FrameType | None) -> None:
        self.number = self.number or number
        self.event.set()


def execute_for_people(manifest: Path, cache: str | None, *, fail_fast: bool, as_json: bool, command: str) -> int:
    """Execute, print the report, return the exit code: 1 if a job failed, 128 + n if signal n stopped it."""
    with Stopper() as stopper, Progress(0, "speaking") as progress:

        def follow(event: dict[str, object]) -> None:
            note = str(event.get("output_name", ""))
            if event["event"] == "executor_started":
                progress.total = int(str(event["jobs"]))
            elif event["event"] == "job_finished":
                progress.step(1, note)
            else:
                progress.draw(note)

        report = execute(
            manifest, fail_fast=fail_fast, on_event=follow, stop=stopper.event, environment=_environment(cache)
        )
    _print(report, manifest.parent, as_json=as_json, command=command)
    if report.get("stopped"):
        return 128 + stopper.number
    jobs = report["jobs"]
    assert isinstance(jobs, list)
    return OK if report["done"] == len(jobs) else FAILED


def _environment(cache: str | None) -> dict[str, str]:
    """Return what the jobs' processes see: the cache folder as an absolute path, for they run elsewhere."""
    from lib.voices import cache_dir

    variables = dict(os.environ)
    named = str(cache_dir(cache)) if cache is not None else variables.get("VOICE_SYNTH_CACHE") or str(cache_dir())
    variables["VOICE_SYNTH_CACHE"] = os.path.abspath(named)  # noqa: PTH100 - links stay as named
    return variables


def _print(report: dict[str, object], folder: Path, *, as_json: bool, command: str) -> None:
    if as_json:
        from cli.render import json_text

        console.say(json_text({"command": command, "folder": str(folder), **report}))
        return
    from cli.render_jobs import execution_text

    width, colour = console.terminal_width(), console.use_colour()
    console.say(execution_text(report, str(folder), width=width, colour=colour))
    if report.get("stopped"):
        console.warn("job-runner: stopped; the same command goes on where this one ended")
