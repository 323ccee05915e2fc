"""The box that is this machine: folders of the work folder, and `job-runner execute-manifest` as a detached process.

Nothing of it ends with the provisioner: after a SIGKILL of that, the executor goes on and is adopted by its lock. What
leaves no trace on disk is a `Popen` that was not reaped. Refuses to trust a process id it has not seen hold the lock.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from lib.errors import BoxLost, InputError
from lib.jobqueue.spec import JobSpec
from lib.manifest.compile import MANIFEST, compile_jobs
from lib.manifest.events import EVENTS
from lib.manifest.execution import EXECUTION, LOCK, LOGS, REPOSITORY, cancel_mark
from lib.manifest.leftovers import end_leftovers
from provisioner.box import Pushed, Traces
from provisioner.follow import MAX_LINE_BYTES, ExecutorFinished, Finished, parse_lines

KILL_SECONDS = 6.0  # the executor itself gives a job two seconds between SIGTERM and SIGKILL
EXIT_SECONDS = 5.0
TAIL_BYTES = 256 * 1024
LATEST = ".latest"  # begins with a dot, so it is no batch
EXECUTOR_LOG = f"{LOGS}/executor.log"
_SECRET_PREFIXES = ("REDIS_URL", "S3_", "AWS_", "VAST_")


class LocalBox:
    """This machine, as seen by one slot. Slots may share a work folder; a batch has one holder."""

    executor = "local"
    price_per_hour = 0.0

    def __init__(self, work: Path, box_id: str, trouble: Callable[[], str | None] = lambda: None) -> None:
        self.box_id = box_id
        self._work = Path(os.path.realpath(work))
        self._trouble = trouble
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._pause = threading.Event()

    def folder(self, batch_id: str) -> Path:
        """Return the folder of a batch."""
        return self._work / batch_id

    def trouble(self) -> str | None:
        """Say why nothing can be spoken here now."""
        return self._trouble()

    def traces(self, batch_id: str) -> Traces:
        """Look what is there of a batch."""
        if not (self.folder(batch_id) / MANIFEST).exists():
            return Traces.NONE
        if self.alive(batch_id):
            return Traces.ALIVE
        if not (self.folder(batch_id) / EVENTS).exists():
            return Traces.WAITING
        last = None
        for event in parse_lines(self._tail(batch_id)):
            last = event
        stopped = isinstance(last, Finished) and last.failure is not None and last.failure.error_type == "stopped"
        return Traces.ENDED if stopped or isinstance(last, ExecutorFinished) else Traces.DEAD

    def push(self, batch_id: str, jobs: Sequence[JobSpec]) -> Pushed:
        """Compile the jobs into the batch's folder, or keep the folder that holds them already."""
        folder = self.folder(batch_id)
        kept = self._kept(folder, jobs)
        if kept is not None:
            return kept
        self.remove(batch_id)
        with _lost_box(batch_id):
            manifest, _ = compile_jobs(jobs, folder)
            (folder / LOGS).mkdir(exist_ok=True)
        return _pushed(manifest)

    def _kept(self, folder: Path, jobs: Sequence[JobSpec]) -> Pushed | None:
        """Return what an earlier claim pushed, when it was made of these very jobs (and perhaps of more)."""
        try:
            manifest = json.loads((folder / MANIFEST).read_bytes())
            made = {one["request_id"]: (one["output_name"], one["content_hash"]) for one in manifest["jobs"]}
            pushed = _pushed(manifest)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        wanted = {job["request_id"]: (job["output_name"], job["content_hash"]) for job in jobs}
        return pushed if wanted.items() <= made.items() else None

    def start(self, batch_id: str, finished: Sequence[str]) -> None:
        """Start the detached executor unless it is alive."""
        if self.alive(batch_id):
            return
        for request_id in finished:
            self.cancel(batch_id, request_id)
        folder = self.folder(batch_id)
        command = [sys.executable, "-P", "-m", "cli", "execute-manifest", str(folder / MANIFEST), "--json"]
        with _lost_box(batch_id), (folder / EXECUTOR_LOG).open("ab") as log:
            self._children[batch_id] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=executor_environment(os.environ),
                start_new_session=True,  # it must outlive us, and our terminal's signals are not for it
            )

    def alive(self, batch_id: str) -> bool:
        """Whether the executor is at work."""
        child = self._children.get(batch_id)
        if child is not None:
            if child.poll() is None:
                return True
            del self._children[batch_id]
        return lock_holder(self.folder(batch_id)) is not None

    def read_events(self, batch_id: str, offset: int) -> bytes:
        """Read events from an offset."""
        try:
            descriptor = os.open(self.folder(batch_id) / EVENTS, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return b""
        with os.fdopen(descriptor, "rb") as file:
            file.seek(offset)
            return file.read(MAX_LINE_BYTES + 1)

    def _tail(self, batch_id: str) -> bytes:
        try:
            size = (self.folder(batch_id) / EVENTS).stat().st_size
        except FileNotFoundError:
            return b""
        return self.read_events(batch_id, max(0, size - TAIL_BYTES))

    def fetch(self, batch_id: str, output_name: str) -> Path:
        """Return the folder of a job; it is here already."""
        return self.folder(batch_id) / output_name

    def cancel(self, batch_id: str, request_id: str) -> None:
        """Leave the mark that the executor looks for before and during each job."""
        folder = self.folder(batch_id)
        try:
            jobs = json.loads((folder / MANIFEST).read_bytes())["jobs"]
        except (FileNotFoundError, ValueError):
            return
        with _lost_box(batch_id):
            for position, job in enumerate(jobs, start=1):
                if job["request_id"] == request_id:
                    (folder / LOGS).mkdir(exist_ok=True)
                    cancel_mark(folder, position).touch()

    def kill(self, batch_id: str) -> None:
        """End the executor, politely first, and whatever of its job is left."""
        for number, patience in ((signal.SIGTERM, KILL_SECONDS), (signal.SIGKILL, EXIT_SECONDS)):
            pid = self._executor(batch_id)
            if pid is None:
                break
            with suppress(ProcessLookupError):
                os.kill(pid, number)
            if self._gone(batch_id, patience):
                break
        folder = self.folder(batch_id)
        if folder.is_dir():
            end_leftovers(folder)

    def _executor(self, batch_id: str) -> int | None:
        child = self._children.get(batch_id)
        if child is not None and child.poll() is None:
            return child.pid
        return lock_holder(self.folder(batch_id))

    def _gone(self, batch_id: str, patience_seconds: float) -> bool:
        for _ in range(int(patience_seconds / 0.02)):
            if not self.alive(batch_id):
                return True
            self._pause.wait(0.02)
        return False

    def remove(self, batch_id: str) -> None:
        """End the executor and remove the folder."""
        if self._children.get(batch_id) is not None:
            self._gone(batch_id, EXIT_SECONDS / 5)  # it has said that it is done, and is about to exit by itself
        if self.traces(batch_id) in (Traces.ALIVE, Traces.DEAD):  # dead: the job it was at may have outlived it
            self.kill(batch_id)
        self._keep_report(self.folder(batch_id))
        shutil.rmtree(self.folder(batch_id), ignore_errors=True)

    def _keep_report(self, folder: Path) -> None:
        """Keep the latest execution.json for people (`make jobs-logs`); the folder it was in goes."""
        report = folder / EXECUTION
        if not report.is_file():
            return
        with suppress(OSError):  # a full disk must not keep the folder from going
            (self._work / LATEST).mkdir(exist_ok=True)
            report.replace(self._work / LATEST / EXECUTION)

    def batch_ids(self) -> list[str]:
        """Return the batches that have a folder."""
        try:
            return sorted(one.name for one in self._work.iterdir() if one.is_dir() and not one.name.startswith("."))
        except FileNotFoundError:
            return []


@contextmanager
def _lost_box(batch_id: str) -> Iterator[None]:
    """Turn a disk that is full or broken, or a folder that vanished, into a lost box."""
    try:
        yield
    except (OSError, InputError) as error:
        raise BoxLost(f"the folder of batch {batch_id} cannot be used: {error}") from error


def executor_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the variables an executor gets: no secret of ours is any of its business."""
    kept = {name: value for name, value in variables.items() if not name.startswith(_SECRET_PREFIXES)}
    kept["PYTHONPATH"] = os.pathsep.join(one for one in (str(REPOSITORY), variables.get("PYTHONPATH", "")) if one)
    return kept


def lock_holder(folder: Path) -> int | None:
    """Return the process id of the executor that holds the folder's lock, None when nobody does."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        while not _is_free(descriptor):
            written = os.pread(descriptor, 32, 0).strip()
            if written.isdigit() and int(written) > 1:
                return int(written)
            threading.Event().wait(0.01)  # it has the lock, and is about to write its id
        return None
    finally:
        os.close(descriptor)


def _is_free(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return True


def _pushed(manifest: dict[str, object]) -> Pushed:
    jobs = manifest["jobs"]
    assert isinstance(jobs, list)
    return Pushed(str(manifest["run_id"]), {one["request_id"]: float(one["deadline_seconds"]) for one in jobs})


def voice_synth_trouble() -> str | None:
    """Run `voice-synth --version` once; say why it does not run, or None."""
    from lib.manifest.execution import synth_program

    try:
        program, environment = synth_program(None, executor_environment(os.environ))
        answer = subprocess.run(
            [*program, "--version"], capture_output=True, text=True, timeout=30, env=environment, check=False
        )
    except (InputError, OSError, subprocess.TimeoutExpired) as error:
        return f"voice-synth does not run: {error}"
    if answer.returncode != 0:
        return f"voice-synth --version ended with {answer.returncode}: {answer.stderr.strip()[-300:]}"
    return None
