"""A TCP proxy in front of a real server that loses replies on demand: the server did the work, nobody heard.

Owns forwarding and cutting. Refuses to understand the protocol beyond "does the request contain these bytes".
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from types import TracebackType


class CuttingProxy:
    """Listens on the loopback at `port`; `cut_next` arms it to lose one reply."""

    def __init__(self, target_port: int) -> None:
        self._target = ("127.0.0.1", target_port)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self.cuts = 0
        self._armed: tuple[bytes, int] | None = None
        self._threads: list[threading.Thread] = []
        self._stopping = threading.Event()

    def cut_next(self, request: bytes, after_bytes: int = 0) -> None:
        """Let `after_bytes` of the next reply to a request that contains `request` pass, then drop the connection.

        Error replies (a script that is not loaded yet) pass untouched.
        """
        self._armed = (request, after_bytes)

    def __enter__(self) -> CuttingProxy:
        self._start(self._accept)
        return self

    def __exit__(self, _t: type[BaseException] | None, _v: BaseException | None, _tb: TracebackType | None) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(timeout=10)
        self._server.close()

    def _start(self, target: object, *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        self._server.settimeout(0.02)
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                client, _ = self._server.accept()
                client.settimeout(None)
                self._start(self._forward, client)

    def _forward(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._target) as upstream, selectors.DefaultSelector() as both:
            both.register(client, selectors.EVENT_READ)
            both.register(upstream, selectors.EVENT_READ)
            asked = b""
            while not self._stopping.is_set():
                for key, _ in both.select(timeout=0.02):
                    try:
                        data = key.fileobj.recv(65536)  # type: ignore[union-attr]
                    except OSError:
                        return
                    if not data:
                        return
                    if key.fileobj is client:
                        asked = data
                        upstream.sendall(data)
                    elif not self._pass_on(client, asked, data):
                        return

    def _pass_on(self, client: socket.socket, asked: bytes, reply: bytes) -> bool:
        if self._armed is not None and self._armed[0] in asked and not reply.startswith(b"-"):
            _, after_bytes = self._armed
            self._armed = None
            self.cuts += 1
            client.sendall(reply[:after_bytes])
            return False
        client.sendall(reply)
        return True
