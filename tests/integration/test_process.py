"""Stop signals, the end of a process whose thread crashed, and the health pages."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Counter

from lib.errors import QueueUnavailable
from lib.process import EXIT_CRASHED, HealthServer
from ops.demo.redis_binary import free_port
from tests.support.wait import wait_until


def get(port: int, path: str) -> tuple[int, str, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.getheader("Content-Type", ""), answer.read().decode()
    finally:
        connection.close()


@pytest.fixture
def health() -> Iterator[HealthServer]:
    server = HealthServer("127.0.0.1", free_port(), max_age_seconds=0.2)
    with server:
        yield server


def port_of(server: HealthServer) -> int:
    return server._address[1]


def test_healthz_is_200_while_the_loop_beats_and_503_with_the_reason_when_it_stalls(
    health: HealthServer,
) -> None:
    health.beat()
    assert get(port_of(health), "/healthz")[0] == 200
    wait_until(lambda: get(port_of(health), "/healthz")[0] == 503)
    page = json.loads(get(port_of(health), "/healthz")[2])
    assert page["status"] == "stalled"
    assert "the loop has not come round for" in page["reason"]
    health.beat()
    assert get(port_of(health), "/healthz")[0] == 200


def test_readyz_names_the_check_that_fails_and_why(health: HealthServer) -> None:
    def redis_is_down() -> str | None:
        raise QueueUnavailable("Redis does not answer")

    health.add_check("disk", lambda: None)
    assert get(port_of(health), "/readyz")[0] == 200
    health.add_check("redis", redis_is_down)
    health.add_check("bucket", lambda: "no such bucket")
    status, _type, body = get(port_of(health), "/readyz")
    assert status == 503
    assert json.loads(body)["checks"] == {
        "disk": "ok",
        "redis": "QueueUnavailable: Redis does not answer",
        "bucket": "no such bucket",
    }


def test_metrics_are_in_the_text_format_of_prometheus(health: HealthServer) -> None:
    status, content_type, body = get(port_of(health), "/metrics")
    assert status == 200
    assert content_type.startswith("text/plain")
    assert "# HELP python_info" in body


def test_metrics_of_a_registry_of_ones_own_are_served_alone() -> None:
    registry = CollectorRegistry()
    Counter("jobs_made", "Jobs made.", registry=registry).inc()
    port = free_port()
    with HealthServer("127.0.0.1", port, max_age_seconds=1, registry=registry):
        body = get(port, "/metrics")[2]
    assert "jobs_made_total 1.0" in body
    assert "python_info" not in body


def test_an_unknown_page_says_which_pages_there_are(health: HealthServer) -> None:
    assert get(port_of(health), "/")[::2] == (404, '{"error": "try /metrics, /healthz or /readyz"}\n')


def test_the_port_is_free_again_after_stop_and_a_taken_one_is_an_error() -> None:
    port = free_port()
    first = HealthServer("127.0.0.1", port, max_age_seconds=1).start()
    with pytest.raises(OSError, match="Address already in use"):
        HealthServer("127.0.0.1", port, max_age_seconds=1).start()
    first.stop()
    first.stop()
    with HealthServer("127.0.0.1", port, max_age_seconds=1):
        assert get(port, "/healthz")[0] == 200


def test_port_0_switches_the_pages_off() -> None:
    with HealthServer("127.0.0.1", 0, max_age_seconds=1) as server:
        server.beat()
        assert server._server is None


LOOP = """
import sys, time
from lib.process import Stopper
stopper = Stopper().install()
print("up", flush=True)
while not stopper.wait({wait}):
    pass
print("stopping", stopper.signal_number, flush=True)
time.sleep({linger})
"""


def looping(wait_seconds: float, linger_seconds: float) -> subprocess.Popen[str]:
    code = LOOP.format(wait=wait_seconds, linger=linger_seconds)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_wakes_a_waiting_loop_at_once_and_the_exit_is_clean(number: signal.Signals) -> None:
    process = looping(wait_seconds=60, linger_seconds=0)
    asked = time.monotonic()
    process.send_signal(number)
    output, _ = process.communicate(timeout=10)
    assert output == f"stopping {int(number)}\n"
    assert process.returncode == 0
    assert time.monotonic() - asked < 5


def test_the_second_signal_ends_the_process_at_once() -> None:
    process = looping(wait_seconds=60, linger_seconds=60)
    process.send_signal(signal.SIGTERM)
    assert process.stdout is not None
    assert process.stdout.readline() == "stopping 15\n"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)
    assert process.returncode == 128 + signal.SIGTERM


def test_an_uncaught_exception_in_a_thread_ends_the_process_and_is_logged_as_json() -> None:
    code = (
        "import threading; from lib.process import *; from lib.telemetry.logs import setup_logging;"
        "setup_logging('watcher'); exit_on_thread_crash();"
        "threading.Thread(target=lambda: 1 / 0, name='renewer').start(); Stopper().wait(60)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20)
    assert answer.returncode == EXIT_CRASHED
    line = json.loads(answer.stdout)
    assert (line["level"], line["process"], line["thread_name"]) == ("critical", "watcher", "renewer")
    assert line["exception"]["type"] == "ZeroDivisionError"
