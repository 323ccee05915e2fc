"""A real S3 server for tests (`rclone serve s3`), and a proxy before it that fails in the ways endpoints fail.

Each server has a port and a folder of its own, and dies with the test process. A bucket is a folder of it.
"""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from ops.demo.redis_binary import free_port
from ops.demo.tied import tied
from tests.support.wait import wait_until

KEY_ID = "TESTSKEYID0123456789"
SECRET = "tests-secret-access-key-0123456789"
BUCKET = "audio"


def rclone_binary() -> Path:
    """The rclone of this environment."""
    return Path(sys.executable).parent / "rclone"


class S3Server:
    """A server process; `bucket` is the folder behind the bucket that it starts with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bucket = folder / "data" / BUCKET
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> S3Server:
        self.bucket.mkdir(parents=True, exist_ok=True)
        for _attempt in range(5):
            self.port = self.port or free_port()
            if self._start_once():
                return self
            self.port = 0
        raise AssertionError(f"rclone does not start: {self._log.read_text()[-2000:]}")

    @property
    def _log(self) -> Path:
        return self.folder / "rclone.log"

    def _start_once(self) -> bool:
        command = [str(rclone_binary()), "serve", "s3", "--addr", f"127.0.0.1:{self.port}"]
        command += ["--auth-key", f"{KEY_ID},{SECRET}", "--config", os.devnull, "--dir-cache-time", "5ms"]
        command += ["--vfs-cache-mode", "off", str(self.folder / "data")]
        with self._log.open("ab") as log:
            self._process = process = subprocess.Popen(
                tied(command, os.getpid(), signal.SIGKILL), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        wait_until(lambda: process.poll() is not None or _listens(self.port), what="rclone listens", every=0.02)
        return process.poll() is None

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(timeout=10)

    def empty(self) -> None:
        """Remove every object."""
        shutil.rmtree(self.bucket)
        self.bucket.mkdir()

    def settings(self, url: str | None = None, **changes: object) -> dict[str, object]:
        """The settings of an uploader that stores here."""
        return {
            "UPLOADER_SINK": "s3",
            "S3_BUCKET": BUCKET,
            "S3_ENDPOINT_URL": url or self.url,
            "S3_ACCESS_KEY_ID": KEY_ID,
            "S3_SECRET_ACCESS_KEY": SECRET,
            "S3_CONNECT_TIMEOUT_SECONDS": 2,
            "S3_READ_TIMEOUT_SECONDS": 5,
            **changes,
        }


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@dataclass
class Exchange:
    """A request, and what the server answered; a fault may change the answer."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    status: int = 0
    answer: dict[str, str] = field(default_factory=dict)
    content: bytes = b""

    def error(self, status: int, code: str) -> None:
        """Answer with an S3 error."""
        self.status = status
        self.content = b"" if self.method == "HEAD" else f"<Error><Code>{code}</Code></Error>".encode()
        self.answer = {"Content-Type": "application/xml", "Content-Length": str(len(self.content))}


Fault = Callable[[Exchange], bool]
"""Called before the server is asked, with status 0: True says that it has answered. And after, to change the answer."""


class FaultyProxy:
    """Between client and server; does what `fault` says, and keeps every exchange. `hang` holds answers back."""

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.fault: Fault | None = None
        self.hang = threading.Event()
        self.let_go = threading.Event()
        self.exchanges: list[Exchange] = []
        handler = type("Handler", (_Handler,), {"proxy": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> FaultyProxy:
        self._thread.start()
        return self

    def stop(self) -> None:
        self.let_go.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def count(self, method: str) -> int:
        return sum(1 for one in list(self.exchanges) if one.method == method)

    def forward(self, exchange: Exchange) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.target_port, timeout=20)
        try:
            headers = {k: v for k, v in exchange.headers.items() if k.lower() != "expect"}
            connection.request(exchange.method, exchange.path, body=exchange.body or None, headers=headers)
            response = connection.getresponse()
            exchange.content = response.read()
            exchange.status = response.status
            exchange.answer = dict(response.getheaders())
        finally:
            connection.close()


class _Handler(BaseHTTPRequestHandler):
    proxy: FaultyProxy
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        exchange = Exchange(self.command, self.path, dict(self.headers.items()), body)
        proxy = self.proxy
        proxy.exchanges.append(exchange)
        if proxy.hang.is_set():
            proxy.let_go.wait(30)
            self.close_connection = True
            return
        fault = proxy.fault
        if fault is None or not fault(exchange):
            proxy.forward(exchange)
            if fault is not None:
                fault(exchange)
        self.send_response_only(exchange.status)
        for name, value in exchange.answer.items():
            if name.lower() not in ("transfer-encoding", "connection"):
                self.send_header(name, value)
        if "content-length" not in {name.lower() for name in exchange.answer}:
            self.send_header("Content-Length", str(len(exchange.content)))
        self.end_headers()
        if self.command != "HEAD":
            with suppress(ConnectionError):  # the client was killed, or gave up
                self.wfile.write(exchange.content)

    do_GET = do_PUT = do_HEAD = do_DELETE = _serve  # noqa: N815 - the base class names them

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        """Say nothing."""
