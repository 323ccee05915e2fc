"""Fixtures of tests that need the queue: `line` is one driven by hand on an empty Redis.

`s3_server` is a real S3 server with an empty bucket (one a test process); `s3_proxy` stands before it and fails on
request. `handed` brings jobs to where the uploader takes over; `start_uploader` starts the real program on them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.queue_line import Line
from tests.support.redis_server import RedisServer
from tests.support.s3_server import FaultyProxy, S3Server
from tests.support.uploads import Handed, UploaderProcess


@pytest.fixture
def line(redis_server: RedisServer) -> Iterator[Line]:
    """A queue driven by hand, on the empty server of this test process."""
    with redis_server.client() as client:
        made = Line(client, redis_server.url)
        yield made
        made.close()


@pytest.fixture(scope="session")
def _shared_s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    server = S3Server(tmp_path_factory.mktemp("s3")).start()
    yield server
    server.stop()


@pytest.fixture
def s3_server(_shared_s3: S3Server) -> S3Server:
    """A real S3 server whose bucket is empty; do not stop this one."""
    _shared_s3.empty()
    return _shared_s3


@pytest.fixture
def s3_proxy(s3_server: S3Server) -> Iterator[FaultyProxy]:
    """A proxy before the S3 server, without a fault at first."""
    proxy = FaultyProxy(s3_server.port).start()
    yield proxy
    proxy.stop()


@pytest.fixture
def handed(redis_url: str, tmp_path: Path) -> Iterator[Handed]:
    """A queue and a spool, and jobs handed over to the uploaders."""
    made = Handed(redis_url, tmp_path / "spool")
    yield made
    made.close()


@pytest.fixture
def start_uploader(handed: Handed, tmp_path: Path) -> Iterator[Callable[..., UploaderProcess]]:
    """Start real uploaders with settings as keywords; they end with the test."""
    started: list[UploaderProcess] = []

    def start(**settings: object) -> UploaderProcess:
        log = tmp_path / f"uploader-{len(started)}.log"
        started.append(UploaderProcess(handed.environment(**settings), log).start())
        return started[-1]

    yield start
    for one in started:
        one.__exit__()
