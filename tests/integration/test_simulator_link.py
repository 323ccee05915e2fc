"""The relay: what it carries, cuts, refuses and swallows."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.simulator.link import BLACK_HOLE, HANG_UP, OPEN, REFUSE, SILENT, Link
from tests.support.wait import wait_until

pytestmark = pytest.mark.sshd


@pytest.fixture
def counted() -> dict[str, int]:
    return {"upload": 0, "download": 0}


@pytest.fixture
def link(tmp_path: Path, counted: dict[str, int]) -> Iterator[Link]:
    """A link to a Unix socket that says back whatever it hears."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "s"))
    listener.listen()

    def echo(connection: socket.socket) -> None:
        with connection:
            try:
                while block := connection.recv(65536):
                    connection.sendall(block)
            except OSError:
                return  # cut, as the tests do

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=echo, args=(connection,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()

    def count(kind: str, size: int) -> None:
        counted[kind] += size

    made = Link("127.0.0.1", tmp_path / "s", count)
    yield made
    made.close()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def connect(link: Link) -> socket.socket:
    return socket.create_connection(("127.0.0.1", link.port), 1)


def hear(connection: socket.socket) -> bytes:
    heard = b""
    try:
        while block := connection.recv(65536):
            heard += block
    except ConnectionResetError:
        pass
    return heard


def test_bytes_go_both_ways_and_are_counted(link: Link, counted: dict[str, int]) -> None:
    link.set_mode(OPEN)
    with connect(link) as connection:
        connection.sendall(b"x" * 1000)
        connection.shutdown(socket.SHUT_WR)
        assert hear(connection) == b"x" * 1000
    assert counted == {"upload": 1000, "download": 1000}


def test_a_connection_is_cut_after_its_bytes_and_the_next_one_starts_anew(link: Link) -> None:
    link.cut_after_bytes = 700
    link.set_mode(OPEN)
    for _ in range(2):
        with connect(link) as connection:
            connection.sendall(b"x" * 500)
            assert len(hear(connection)) <= 200


def test_modes_follow_each_other_on_the_same_port(link: Link) -> None:
    for _ in range(2):
        link.set_mode(REFUSE)
        with pytest.raises(ConnectionRefusedError):
            connect(link)
        link.set_mode(BLACK_HOLE)
        with pytest.raises(TimeoutError):
            connect(link)
        link.set_mode(HANG_UP)
        with connect(link) as connection:
            assert connection.recv(1) == b""
        link.set_mode(SILENT)
        with connect(link) as connection, pytest.raises(TimeoutError):
            connection.recv(1)
        link.set_mode(OPEN)
        with connect(link) as connection:
            connection.sendall(b"hello")
            assert connection.recv(5) == b"hello"


def test_closing_a_mode_ends_the_connections_there_are(link: Link) -> None:
    link.set_mode(OPEN)
    with connect(link) as connection:
        connection.sendall(b"a")
        assert connection.recv(1) == b"a"
        link.set_mode(REFUSE)
        assert hear(connection) == b""


def test_a_closed_link_gives_its_port_back(link: Link) -> None:
    link.set_mode(OPEN)
    link.close()

    def free() -> bool:
        with socket.socket() as other:
            try:
                other.bind(("127.0.0.1", link.port))
            except OSError:
                return False
            return True

    wait_until(free)
