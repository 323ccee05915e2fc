"""How a worker process lives: stop signals, and the health pages that say whether it does.

Owns SIGTERM and SIGINT (`Stopper`), the end of a process whose thread crashed, and the HTTP server for
`/metrics`, `/healthz` and `/readyz` (`HealthServer`). Refuses to know what any process does: loops report
themselves with `beat()`, and readiness is asked of functions that are handed in.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import FrameType
from typing import TYPE_CHECKING

from lib.errors import JobRunnerError

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

logger = logging.getLogger(__name__)

EXIT_CRASHED = 70
"""Exit code of a process that one of its threads brought down (EX_SOFTWARE)."""

Check = Callable[[], str | None]
"""A readiness check: None when all is well, else the reason in one line; it may raise a JobRunnerError."""


class Stopper:
    """Turns the first SIGTERM or SIGINT into the event `stop`, and the second into an immediate exit.

    The first signal leaves the work to the loops, which wait with `stop.wait(seconds)` instead of sleeping.
    The second is for the operator who will not wait: everything here survives a kill, so nothing is lost.
    """

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.signal_number: int | None = None

    def install(self) -> Stopper:
        """Take over SIGTERM and SIGINT; call it once, in the main thread, before anything starts."""
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)
        return self

    @property
    def stopping(self) -> bool:
        return self.stop.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait up to `seconds`; True when the process should stop."""
        return self.stop.wait(seconds)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self.stop.is_set():
            os._exit(128 + number)
        self.signal_number = number
        # No logging here: the interrupted thread may hold the lock of the log stream.
        self.stop.set()


def exit_on_thread_crash() -> None:
    """Make an uncaught exception in any thread end the process, so that nothing lives on half dead.

    A worker whose renewer or loop has died would hold its work for ever; a dead process is restarted and its
    leases run out.
    """

    def crashed(args: threading.ExceptHookArgs) -> None:
        name = args.thread.name if args.thread is not None else "?"
        value = args.exc_value if args.exc_value is not None else args.exc_type()
        logger.critical("thread crashed, leaving", exc_info=value, extra={"thread_name": name})
        logging.shutdown()
        os._exit(EXIT_CRASHED)

    threading.excepthook = crashed


class HealthServer:
    """Serves /metrics, /healthz and /readyz on `host:port`; a port of 0 means that it is switched off.

    /healthz is 200 while `beat()` was called within the last `max_age_seconds`: the loop moves.
    /readyz is 200 while every check answers None: the process can do its job.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        max_age_seconds: float,
        checks: Mapping[str, Check] | None = None,
        registry: CollectorRegistry | None = None,
    ) -> None:
        self._address = (host, port)
        self._max_age_seconds = max_age_seconds
        self._checks = dict(checks or {})
        self._registry = registry
        self._last_beat = time.monotonic()
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    def add_check(self, name: str, check: Check) -> None:
        self._checks[name] = check

    def beat(self) -> None:
        """Say that the loop has come round once more. Cheap and safe from any thread."""
        self._last_beat = time.monotonic()

    def start(self) -> HealthServer:
        """Bind and serve in threads of its own; raises OSError when the port is taken."""
        if self._address[1] == 0:
            return self
        self.beat()
        self._server = _Server(self._address, _Handler)
        self._server.health = self
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="health", daemon=True
        )
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop serving and free the port; safe to call twice or without a start."""
        server, self._server = self._server, None
        if server is None:
            return
        server.shutdown()
        server.server_close()
        if self._thread is not None:
            self._thread.join()

    def __enter__(self) -> HealthServer:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def health(self) -> tuple[bool, dict[str, object]]:
        """Whether the loop moves, and the page that says so."""
        age = time.monotonic() - self._last_beat
        healthy = age <= self._max_age_seconds
        page: dict[str, object] = {
            "status": "ok" if healthy else "stalled",
            "last_beat_seconds_ago": round(age, 3),
            "max_age_seconds": self._max_age_seconds,
        }
        if not healthy:
            page["reason"] = f"the loop has not come round for {age:.1f} s (limit {self._max_age_seconds:g} s)"
        return healthy, page

    def metrics(self) -> tuple[str, bytes]:
        """The content type and the page of the registry that was handed in, else of the process's default one."""
        # Not at the top: a program that only wants its signals handled should not pay for this import.
        from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

        return CONTENT_TYPE_LATEST, generate_latest(self._registry if self._registry is not None else REGISTRY)

    def readiness(self) -> tuple[bool, dict[str, object]]:
        """Ask every check, and the page that names those that failed."""
        results: dict[str, str] = {}
        for name, check in self._checks.items():
            try:
                reason = check()
            except (JobRunnerError, OSError) as error:
                reason = f"{type(error).__name__}: {error}"
            results[name] = "ok" if reason is None else reason
        ready = all(result == "ok" for result in results.values())
        return ready, {"status": "ok" if ready else "not ready", "checks": results}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    health: HealthServer


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version = "job-runner"
    sys_version = ""
    timeout = 10  # seconds a client may keep a connection without saying anything

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._send(200, *self.server.health.metrics())
        elif path == "/healthz":
            self._send_page(*self.server.health.health())
        elif path == "/readyz":
            self._send_page(*self.server.health.readiness())
        else:
            self._send(404, "application/json", b'{"error": "try /metrics, /healthz or /readyz"}\n')

    def _send_page(self, good: bool, page: dict[str, object]) -> None:
        self._send(200 if good else 503, "application/json", json.dumps(page).encode() + b"\n")

    def _send(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except ConnectionError:
            logger.debug("a client left before its page was sent")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        logger.debug("health page", extra={"request": format % args})
