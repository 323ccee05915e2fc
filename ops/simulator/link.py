"""One port of a box: a TCP relay on loopback that can fail as networks do.

Owns the port, the connections through it and their bytes (which are billed). It refuses to know SSH: it carries bytes
between the port and the box's Unix socket.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path

OPEN, REFUSE, BLACK_HOLE, SILENT, HANG_UP = "open", "refuse", "black_hole", "silent", "hang_up"
_BLOCK_BYTES = 131_072
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Link:
    """A port, its mode, and what limits its connections."""

    def __init__(self, host: str, target: Path, count: Callable[[str, int], None]) -> None:
        self.mode = REFUSE
        self.bytes_per_second: float | None = None
        self.cut_after_bytes: float | None = None
        self._host = host
        self._target = target
        self._count = count
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._fillers: list[socket.socket] = []
        self._closed = threading.Event()
        # Bound and not listening: the port is ours, and connecting to it is refused.
        self._listener = self._bound(0)
        self.port: int = self._listener.getsockname()[1]

    def set_mode(self, mode: str) -> None:
        """Change how new connections fare; anything but `open` also ends the present ones."""
        with self._lock:
            if self._closed.is_set() or mode == self.mode:
                return
            self.mode = mode
            self._stop_listening()
            self._listener = self._bound(self.port)
            if mode == BLACK_HOLE:
                self._fill()
            elif mode != REFUSE:
                self._listener.listen(128)
                threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()
        if mode != OPEN:
            self.cut()

    def cut(self) -> None:
        """Reset every connection."""
        with self._lock:
            cut, self._connections = self._connections, set()
        for connection in cut:
            _reset(connection)

    def close(self) -> None:
        """Give the port back."""
        self._closed.set()
        with self._lock:
            self._stop_listening()
        self.cut()

    def _bound(self, port: int) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((self._host, port))
        return listener

    def _stop_listening(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread in accept()
        self._listener.close()
        for filler in self._fillers:
            _reset(filler)
        self._fillers = []

    def _fill(self) -> None:
        """Fill the queue of a listener that never accepts: the kernel then drops further SYNs, as a dead host does."""
        self._listener.listen(0)
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex((self._host, self.port))
            self._fillers.append(filler)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _address = listener.accept()
            except OSError:
                return
            if self.mode == HANG_UP:
                client.close()
            elif self.mode == SILENT:
                self._remember(client)
            else:
                threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _remember(self, *sockets: socket.socket) -> None:
        with self._lock:
            self._connections.update(sockets)

    def _carry(self, client: socket.socket) -> None:
        box = socket.socket(socket.AF_UNIX)
        try:
            box.connect(str(self._target))
        except OSError:
            box.close()
            _reset(client)
            return
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._remember(client, box)
        budget = _Budget(self.cut_after_bytes)
        back = threading.Thread(target=self._pump, args=(box, client, "upload", budget), daemon=True)
        back.start()
        self._pump(client, box, "download", budget)
        back.join()
        with self._lock:
            self._connections -= {client, box}
        client.close()
        box.close()

    def _pump(self, source: socket.socket, sink: socket.socket, kind: str, budget: _Budget) -> None:
        """Carry one direction. `kind` is as the box sees it: what it receives is a download."""
        buffer = memoryview(bytearray(_BLOCK_BYTES))
        try:
            while True:
                rate = self.bytes_per_second
                limit = _BLOCK_BYTES if rate is None else max(1, min(_BLOCK_BYTES, int(rate / 20)))
                count = source.recv_into(buffer[:limit])
                if count == 0:
                    break
                if rate is not None and self._closed.wait(count / rate):
                    break
                allowed = budget.take(count)
                sink.sendall(buffer[:allowed])
                self._count(kind, allowed)
                if allowed < count:
                    _reset(source)
                    _reset(sink)
                    return
        except OSError:
            with contextlib.suppress(OSError):
                source.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


class _Budget:
    """How many bytes a connection may still carry, both directions together."""

    def __init__(self, limit: float | None) -> None:
        self._left = limit
        self._lock = threading.Lock()

    def take(self, count: int) -> int:
        """How many of `count` bytes may still go."""
        if self._left is None:
            return count
        with self._lock:
            allowed = int(min(count, self._left))
            self._left -= allowed
            return allowed


def _reset(connection: socket.socket) -> None:
    """End a connection with a reset, and wake whoever reads from it."""
    with contextlib.suppress(OSError):
        if connection.family == socket.AF_INET:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError):
        connection.close()
