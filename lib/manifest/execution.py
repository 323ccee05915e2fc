"""Executing a compiled manifest: one job after the other, each in a process group of its own, each recorded as it ends.

Owns events.jsonl, execution.json, logs/ and executor.lock of the manifest's folder; obeys the cancel marks in logs/.
Started again after a crash, it takes up where it stopped: a finished job (its files checked again) is not done twice.
Refuses a second executor.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from lib.errors import InputError, TransientError
from lib.manifest.check import Entry, load_manifest
from lib.manifest.child import DEADLINE, STOPPED, Ended, run_child
from lib.manifest.events import Event, EventLog, iso_now, read_events
from lib.manifest.leftovers import end_leftovers
from lib.manifest.results import BadResult, clear_outputs, read_result

EXECUTION_VERSION = 1
EXECUTION = "execution.json"
LOCK = "executor.lock"
LOGS = "logs"
REPOSITORY = Path(__file__).resolve().parents[2]

Report = dict[str, object]


def cancel_mark(folder: Path, position: int) -> Path:
    """Return the file that ends the job at `position` (from 1) while it runs, or keeps it from being begun."""
    return folder / LOGS / f"{position:04d}-cancel"


class _Either:
    """The executor's stop, or the cancel mark of one job."""

    def __init__(self, stop: threading.Event, mark: Path) -> None:
        self._stop = stop
        self._mark = mark

    def is_set(self) -> bool:
        return self._stop.is_set() or self._mark.exists()


class ExecutorBusy(TransientError):
    """Another executor works in this folder."""

    error_type = "executor_busy"


def execute(
    manifest_path: Path,
    *,
    fail_fast: bool = False,
    synth: Sequence[str] | None = None,
    on_event: Callable[[Event], None] | None = None,
    stop: threading.Event | None = None,
    environment: Mapping[str, str] | None = None,
) -> Report:
    """Execute a manifest and return the content of execution.json.

    `synth`: the words that stand for `voice-synth`. `stop`: once set, the running job's group is ended, and the report
    (with `"stopped": true`) is returned without an execution.json being written: the next call goes on from here.
    """
    manifest = load_manifest(manifest_path)
    folder = Path(os.path.realpath(manifest_path.parent))
    program, variables = synth_program(synth, environment)
    with _Lock(folder), EventLog(folder, on_event) as log:
        (folder / LOGS).mkdir(exist_ok=True)
        end_leftovers(folder)
        past = _Past(read_events(folder))
        executor = _Executor(folder, manifest["run_id"], log, past, program, variables, stop or threading.Event())
        try:
            return executor.run(manifest["jobs"], fail_fast=fail_fast)
        finally:
            end_leftovers(folder)  # a child that left its process group, and so outlived its job


def synth_program(
    synth: Sequence[str] | None, environment: Mapping[str, str] | None
) -> tuple[list[str], dict[str, str]]:
    """Return the words for `voice-synth` and the environment it gets."""
    variables = dict(os.environ if environment is None else environment)
    if synth is not None:
        return list(synth), variables
    named = variables.get("VOICE_SYNTH_BIN")
    if named:
        found = shutil.which(named)
        if found is None:
            raise InputError(f"VOICE_SYNTH_BIN: {named!r} is no program that can be run; correct it or unset it")
        return [os.path.abspath(found)], variables  # noqa: PTH100 - links stay: a virtual environment's need theirs
    paths = [os.fspath(REPOSITORY), variables.get("PYTHONPATH", "")]
    variables["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    # -P: the manifest's folder, which is the child's, must not be able to shadow a module.
    return [sys.executable, "-P", "-m", "synth"], variables


class _Past:
    """What events.jsonl tells about earlier executors of this folder."""

    def __init__(self, events: Iterable[Event]) -> None:
        self.started: dict[object, object] = {}  # output_name -> content_hash of its last start
        self.finished: dict[object, Event] = {}  # output_name -> its last job_finished, this execution
        for event in events:
            self._read(event)

    def _read(self, event: Event) -> None:
        kind, name = event.get("event"), event.get("output_name")
        if kind == "executor_finished":
            # The execution ended by itself: whoever starts another one wants its failed jobs tried again.
            self.finished = {key: one for key, one in self.finished.items() if one.get("status") == "done"}
        elif kind == "job_started":
            self.started[name] = event.get("content_hash")
            self.finished.pop(name, None)
        elif kind == "job_finished":
            self.finished[name] = event


class _Executor:
    """One execution of one folder."""

    def __init__(
        self,
        folder: Path,
        run_id: str,
        log: EventLog,
        past: _Past,
        program: list[str],
        environment: dict[str, str],
        stop: threading.Event,
    ) -> None:
        self._folder = folder
        self._run_id = run_id
        self._log = log
        self._past = past
        self._program = program
        self._environment = environment
        self._stop = stop

    def run(self, entries: Sequence[Entry], *, fail_fast: bool) -> Report:
        """Run every job that is not finished yet; write and return the report."""
        started_at = iso_now()
        self._log.append("executor_started", pid=os.getpid(), run_id=self._run_id, jobs=len(entries))
        rows: list[Report] = []
        ended_early = False
        for position, entry in enumerate(entries, start=1):
            if self._stop.is_set() or ended_early:
                rows.append(_row(entry, position, "not_run"))
                continue
            row = self._known(entry, position) or self._cancelled(entry, position) or self._job(entry, position)
            rows.append(row)
            ended_early = fail_fast and row["status"] != "done"
        done = sum(row["status"] == "done" for row in rows)
        failed = sum(row["status"] in ("failed", "killed") for row in rows)
        report: Report = {
            "execution_version": EXECUTION_VERSION,
            "run_id": self._run_id,
            "started_at": started_at,
            "finished_at": iso_now(),
            "done": done,
            "failed": failed,
            "jobs": rows,
        }
        if self._stop.is_set() and done < len(entries):
            return {**report, "stopped": True}
        self._log.append("executor_finished", done=done, failed=failed)
        _write_aside(self._folder / EXECUTION, report)
        return report

    def _known(self, entry: Entry, position: int) -> Report | None:
        """Return the row of a job that an earlier executor finished, after checking its files again."""
        name = entry["output_name"]
        before = self._past.finished.get(name)
        if self._past.started.get(name) != entry["content_hash"]:
            return None
        if before is not None and before.get("status") == "failed":
            return _row(entry, position, "failed", before, kept=True)
        try:
            result = read_result(self._folder / name)
        except BadResult:
            return None
        if result["status"] != "done":
            return None
        if (
            before is None or before.get("status") != "done"
        ):  # it finished, and its executor died before it could say so
            before = self._finished(entry, "done", 0, _total_seconds(result), result, None)
        return _row(entry, position, "done", before, kept=True)

    def _cancelled(self, entry: Entry, position: int) -> Report | None:
        return _row(entry, position, "cancelled") if cancel_mark(self._folder, position).exists() else None

    def _job(self, entry: Entry, position: int) -> Report:
        """Run one job and record its end."""
        out = self._folder / entry["output_name"]
        clear_outputs(out)
        row = _row(entry, position, "failed")

        def started(pid: int) -> None:
            self._log.append("job_started", **_head(entry), content_hash=entry["content_hash"], pid=pid)

        begun = time.monotonic()
        try:
            ended = run_child(
                [*self._program, *entry["argv"][1:]],
                cwd=self._folder,
                environment=self._environment,
                logs=(self._folder / str(row["log_stdout"]), self._folder / str(row["log_stderr"])),
                deadline_seconds=entry["deadline_seconds"],
                stop=_Either(self._stop, cancel_mark(self._folder, position)),
                on_start=started,
            )
        except OSError as error:
            if error.filename is None or not _is_program(error.filename, self._program):
                raise  # the folder itself is unusable (a full disk): no job can be recorded
            failure = _failure("cannot_start", "transient", f"{self._program[0]}: {error.strerror}")
            event = self._finished(entry, "failed", None, time.monotonic() - begun, None, failure)
            return _row(entry, position, "failed", event)
        status, result, error_found = _judge(ended, out)
        if ended.how == STOPPED and status == "killed" and not self._stop.is_set():
            error_found = _failure("cancelled", "transient", "somebody cancelled this job")
        event = self._finished(entry, status, ended.exit_code, ended.seconds, result, error_found)
        return _row(entry, position, status, event)

    def _finished(
        self,
        entry: Entry,
        status: str,
        exit_code: int | None,
        seconds: float,
        result: object,
        error: object,
    ) -> Event:
        return self._log.append(
            "job_finished",
            **_head(entry),
            content_hash=entry["content_hash"],
            status=status,
            exit_code=exit_code,
            seconds=round(seconds, 3),
            result=result,
            error=error,
        )


def _judge(ended: Ended, out: Path) -> tuple[str, object, object]:
    """Return (status, result, error) of a job that ended. Permanent only where a valid result.json says so."""
    try:
        result, doubt = read_result(out), ""
    except BadResult as bad:
        result, doubt = {}, str(bad)
    if ended.exit_code == 0 and result.get("status") == "done":
        return "done", result, None  # also when the stop or the deadline came just after it
    if ended.how == DEADLINE:
        return "killed", None, _failure("deadline", "transient", f"still running after {ended.seconds:.0f} s; killed")
    if ended.how == STOPPED:
        return "killed", None, _failure("stopped", "transient", "the executor was told to stop")
    code = ended.exit_code
    if code is not None and code < 0:
        return "failed", None, _failure("signal", "transient", f"ended by signal {-code}")
    if result.get("status") == "failed":
        return "failed", result, result["error"]
    if result.get("status") == "done":
        doubt = "result.json says done"
    return "failed", None, _failure("no_result", "transient", f"exit code {code}; {doubt}")


def _failure(kind: str, class_: str, message: str) -> Report:
    return {"type": kind, "class": class_, "message": message}


def _total_seconds(result: Mapping[str, object]) -> float:
    timings = result.get("timings")
    seconds = timings.get("total_seconds") if isinstance(timings, dict) else None
    return float(seconds) if isinstance(seconds, int | float) else 0.0


def _head(entry: Entry) -> Report:
    return {"request_id": entry["request_id"], "output_name": entry["output_name"]}


def _row(entry: Entry, position: int, status: str, event: Event | None = None, *, kept: bool = False) -> Report:
    event = event or {}
    return {
        **_head(entry),
        "status": status,
        "exit_code": event.get("exit_code"),
        "seconds": event.get("seconds"),
        "error": event.get("error"),
        "kept": kept,
        "log_stdout": f"{LOGS}/{position:04d}-stdout.log",
        "log_stderr": f"{LOGS}/{position:04d}-stderr.log",
    }


def _is_program(filename: object, program: list[str]) -> bool:
    return filename == program[0]


def _write_aside(path: Path, report: Report) -> None:
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with aside.open("w", encoding="utf-8", errors="backslashreplace") as file:
            json.dump(report, file, indent=2, sort_keys=True, ensure_ascii=False)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


class _Lock:
    """executor.lock, held while the executor lives; the kernel lets go of it however the process ends."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK
        self._descriptor = -1

    def __enter__(self) -> _Lock:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor = os.open(self._path, flags, 0o644)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._descriptor, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(self._descriptor)
            raise ExecutorBusy(
                f"{self._path.parent}: another executor (process {holder}) is at work in it; wait for it to end"
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
