"""The command line's metrics: pushed or written where the environment says so, and never in a command's way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from ops.demo.redis_binary import free_port
from tests.support.command import job_runner, job_runner_inside


class Gateway(HTTPServer):
    """What a Pushgateway looks like from outside: it takes what is pushed, or refuses it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = 200
        self.pushed: list[tuple[str, str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Gateway

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.pushed.append((self.command, self.path, body))
        self.send_response(self.server.answer)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def one_job(tmp_path: Path) -> str:
    path = tmp_path / "one.yaml"
    path.write_text("{output_name: a, voice: newsroom, text: Hi}", encoding="utf-8")
    return str(path)


def test_a_run_is_pushed_into_its_own_group(gateway: Gateway, one_job: str, redis_url: str) -> None:
    ran = job_runner("enqueue", one_job, REDIS_URL=redis_url, PUSHGATEWAY_URL=gateway.url)
    assert (ran.code, ran.err) == (0, "")
    [(method, path, body)] = gateway.pushed
    assert (method, path) == ("PUT", "/metrics/job/job-runner/command/enqueue")
    assert 'jobrunner_command_enqueued_jobs{status="queued"} 1.0' in body
    assert 'jobrunner_command_last_timestamp_seconds{command="enqueue",exit_code="0"}' in body
    assert 'jobrunner_command_duration_seconds{command="enqueue"}' in body


def test_a_command_that_fails_is_measured_with_its_exit_code(gateway: Gateway, redis_url: str) -> None:
    env = {"REDIS_URL": redis_url, "PUSHGATEWAY_URL": gateway.url}
    assert job_runner_inside("result", "nobody", env=env).code == 4
    assert 'exit_code="4"' in gateway.pushed[0][2]


@pytest.mark.parametrize("answer", [400, 500, None])
def test_a_gateway_that_refuses_or_is_not_there_costs_one_warning_and_nothing_else(
    gateway: Gateway, redis_url: str, answer: int | None
) -> None:
    url = gateway.url
    if answer is None:
        url = f"http://user:secret@127.0.0.1:{free_port()}"
    else:
        gateway.answer = answer
    ran = job_runner_inside("history", env={"REDIS_URL": redis_url, "PUSHGATEWAY_URL": url})
    assert ran.code == 0
    assert ran.out == "no job has ended yet\n"
    assert ran.err.startswith("warning: PUSHGATEWAY_URL: metrics were not published (")
    assert ran.err.count("\n") == 1
    assert "secret" not in ran.err


def test_the_textfile_is_replaced_whole(tmp_path: Path, redis_url: str) -> None:
    path = tmp_path / "job-runner.prom"
    path.write_text("old", encoding="utf-8")
    env = {"REDIS_URL": redis_url, "JOB_RUNNER_METRICS_TEXTFILE": str(path)}
    assert job_runner_inside("status", env=env).code == 0
    assert 'jobrunner_command_duration_seconds{command="status"}' in path.read_text(encoding="utf-8")
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_gets_a_file_for_each_command(tmp_path: Path, redis_url: str) -> None:
    env = {"REDIS_URL": redis_url, "JOB_RUNNER_METRICS_TEXTFILE": str(tmp_path)}
    for command in ("status", "history", "status"):
        job_runner_inside(command, env=env)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["job-runner-history.prom", "job-runner-status.prom"]


def test_a_textfile_that_cannot_be_written_costs_one_warning(redis_url: str) -> None:
    env = {"REDIS_URL": redis_url, "JOB_RUNNER_METRICS_TEXTFILE": "/nowhere/x.prom"}
    ran = job_runner_inside("history", env=env)
    assert (ran.code, ran.out) == (0, "no job has ended yet\n")
    assert ran.err == (
        "warning: JOB_RUNNER_METRICS_TEXTFILE: metrics were not published (No such file or directory); "
        "the command itself is not affected\n"
    )
