"""The demo as a newcomer runs it: real parts, real speech, nothing left behind, and kills that only delay it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.wait import wait_until

ROOT = Path(__file__).resolve().parents[2]
JOBS = """\
jobs:
  - {output_name: news/one, voice: newsroom, text: "The bridge across the river opens again tonight, after years."}
  - {output_name: news/two, speaker: Ryan, text: "The last ferry of this winter crosses at a quarter to eight."}
  - {output_name: news/three, voice: storyteller, text: "Nobody spoke for a moment. Then the first child ran across."}
"""


class Demo:
    """`python -m ops.demo` over three short lines, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "demo output"
        self.file = folder / "my jobs.yaml"
        self.file.write_text(JOBS, encoding="utf-8")
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "ops.demo", str(self.file)],
            env={**os.environ, "DEMO_DIR": str(self.folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def finish(self, timeout: float = 100) -> tuple[int, str]:
        output, _ = self.process.communicate(timeout=timeout)
        return self.process.returncode, output

    def processes(self, words: str = "") -> list[psutil.Process]:
        """The demo's running processes, those whose last words are `words` where they are named."""
        found = []
        for process in psutil.process_iter():
            try:
                ours = process.environ().get("UPLOADER_DISK_DIR", "").startswith(str(self.folder))
                if ours and "\0".join(process.cmdline()).endswith(words):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def wait_enqueued(self) -> None:
        """Wait until the jobs are in the queue's append-only file."""
        wait_until(lambda: any(b"news:three" in p.read_bytes() for p in self._appended()), timeout=30)

    def _appended(self) -> list[Path]:
        return [path for path in (self.folder / "redis").rglob("*.aof") if path.is_file()]


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    demo = Demo(tmp_path)
    yield demo
    if demo.process.poll() is None:
        demo.process.kill()
        demo.finish()
    wait_until(lambda: demo.processes() == [], timeout=60, what="nothing of the demo runs")


def check_done(demo: Demo, result: tuple[int, str]) -> None:
    code, output = result
    assert code == 0, output
    assert "nothing keeps running" in output
    assert demo.processes() == []
    audio = sorted(path.relative_to(demo.folder / "audio").parent.as_posix() for path in demo.folder.rglob("*.wav"))
    assert audio == ["news/one", "news/three", "news/two"]
    assert (demo.folder / "audio" / "news" / "job.json").exists()


def test_the_demo_makes_real_speech_and_leaves_nothing_running(demo: Demo) -> None:
    check_done(demo, demo.finish())


@pytest.mark.parametrize("program", ["watcher", "provisioner", "uploader"])
def test_a_worker_that_is_killed_in_the_middle_only_delays_the_demo(demo: Demo, program: str) -> None:
    demo.wait_enqueued()
    (victim,) = demo.processes(f"-m\0{program}")
    victim.send_signal(signal.SIGKILL)
    check_done(demo, demo.finish())
    log = (demo.folder / "logs" / "workers.jsonl").read_text(encoding="utf-8").splitlines()
    assert program in [line.get("program") for line in map(json.loads, log) if line["level"] == "error"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_interrupted_stops_everything(demo: Demo, number: Any) -> None:
    demo.wait_enqueued()
    demo.process.send_signal(number)
    code, output = demo.finish()
    assert code == 130
    assert "interrupted; everything was stopped" in output
    assert demo.processes() == []
