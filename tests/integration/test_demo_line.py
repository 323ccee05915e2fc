"""The demo's line: real Redis and supervisord over stand-in workers; starting, stopping, and leaving nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from ops.demo import leftovers
from ops.demo import line as line_module
from ops.demo.line import MARKER, DemoError, Line, claimed, redis_folder
from ops.demo.redis_binary import free_port, port_is_free
from tests.support.redis_server import RedisServer
from tests.support.wait import wait_until

STEADY = "import signal\nsignal.signal(signal.SIGTERM, lambda *_: exit(0))\nwhile True:\n    signal.pause()\n"
LEAVES_A_DETACHED_CHILD = "import subprocess\nsubprocess.Popen(['sleep', '300'], start_new_session=True)\n" + STEADY
BROKEN = "import sys\nsys.exit('no such bucket')\n"


class StandIns(Line):
    """A line whose workers are these programs."""

    def __init__(self, folder: Path, **programs: str) -> None:
        super().__init__(folder)
        self.modules = folder / "modules"
        self.modules.mkdir()
        for name in ("watcher", "provisioner", "uploader"):
            (self.modules / f"{name}.py").write_text(programs.get(name, STEADY))

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "PYTHONPATH": str(self.modules), "SUPERVISOR_START_RETRIES": "0"}


def workers(line: Line) -> list[str]:
    return [one.command for one in leftovers.find(line.mark) if one.command.endswith(("watcher", "uploader"))]


def test_the_line_runs_with_a_redis_of_its_own_and_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "demo output"
    with claimed(folder):
        line = StandIns(folder)
        with line:
            assert redis_folder(line.port) == str(folder / "redis")
            wait_until(lambda: len(workers(line)) == 2, what="the workers run")
        line.check_nothing_left()
        assert leftovers.find(line.mark) == []
        assert port_is_free(line.port)
        assert (folder / "redis" / "appendonlydir").exists() or (folder / "redis" / "appendonly.aof").exists()


def test_a_port_that_somebody_was_quicker_to_take_is_chosen_anew(
    tmp_path: Path, make_redis: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs: RedisServer = make_redis()
    ports = iter([theirs.port, free_port()])
    monkeypatch.setattr(line_module, "free_port", lambda: next(ports))
    with claimed(tmp_path / "demo"):
        line = StandIns(tmp_path / "demo")
        with line:
            assert line.port != theirs.port
        line.check_nothing_left()
    with theirs.client() as client:
        assert client.ping()


def test_a_process_that_outlives_the_stop_is_killed_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_module, "LINGER_SECONDS", 0.5)
    with claimed(tmp_path / "demo"):
        line = StandIns(tmp_path / "demo", watcher=LEAVES_A_DETACHED_CHILD)
        with line:
            wait_until(lambda: any("sleep 300" in one.command for one in leftovers.find(line.mark)))
        with pytest.raises(DemoError, match=r"still running after the stop, and killed: .*sleep 300"):
            line.check_nothing_left()
        wait_until(lambda: leftovers.find(line.mark) == [])


def test_a_worker_that_cannot_be_kept_alive_ends_the_line(tmp_path: Path) -> None:
    with claimed(tmp_path / "demo"):
        line = StandIns(tmp_path / "demo", uploader=BROKEN)
        with line:
            wait_until(lambda: not line.alive(), timeout=20, what="supervision gave up")
        assert "no such bucket" in line.log.read_text()
        line.check_nothing_left()


def test_nothing_outlives_a_demo_that_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.integration.test_demo_line import *;"
        f"folder = Path({str(tmp_path / 'demo')!r}); folder.mkdir(); (folder / MARKER).touch();"
        "claim = claimed(folder); claim.__enter__(); line = StandIns(folder); line.start();"
        "print(line.mark, flush=True); sys.stdin.read()"
    )
    demo = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert demo.stdout is not None
    assert demo.stdin is not None
    with demo.stdout, demo.stdin:
        mark = demo.stdout.readline().strip()
        assert len(leftovers.find(mark)) >= 3
        demo.kill()
        demo.wait(timeout=10)
    wait_until(lambda: leftovers.find(mark) == [], timeout=20, what="everything of the demo has ended")


def test_the_workers_get_none_of_the_callers_own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REDIS_URL_FILE", "S3_BUCKET", "WATCHER_BATCH_MIN", "UPLOADER_SINK", "KEY_PREFIX"):
        monkeypatch.setenv(name, "production")
    assert "production" not in Line(tmp_path).environment().values()


def test_a_folder_with_other_things_in_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "audio").mkdir()
    (tmp_path / "audio" / "mine.wav").touch()
    with pytest.raises(DemoError, match="holds other things"), claimed(tmp_path):
        pass
    assert (tmp_path / "audio" / "mine.wav").exists()


def test_a_second_demo_in_the_same_folder_waits_outside(tmp_path: Path) -> None:
    with claimed(tmp_path), pytest.raises(DemoError, match="another demo uses"), claimed(tmp_path):
        pass


def test_the_next_demo_starts_from_empty_folders(tmp_path: Path) -> None:
    with claimed(tmp_path):
        (tmp_path / "audio" / "old.wav").touch()
    with claimed(tmp_path):
        assert list((tmp_path / "audio").iterdir()) == []
        assert (tmp_path / MARKER).exists()


def test_processes_without_the_mark_are_not_found() -> None:
    assert leftovers.find("no such mark") == []
    assert psutil.pid_exists(os.getpid())
