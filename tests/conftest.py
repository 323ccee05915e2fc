"""Fixtures that any test may ask for.

redis_url     the URL of an empty Redis; one server a test process (xdist worker), emptied before each test
redis_server  that server itself (`.client()`, `.version`, `.port`); do not stop or pause this one
make_redis    make_redis(maxmemory="2mb", requirepass="...") starts a private server that the test may pause,
              kill, restart or fill; it ends with the test

Mark a test, a class or a module (`pytestmark`) with `@pytest.mark.both_redis` and it runs once on Redis 6.2,
the oldest that must work, and once on the newest at hand; without the mark it runs on the newest only. The
servers are real processes with ports and folders of their own, and die with the test process even when that
is killed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.support.redis_server import RedisServer, redis_binaries


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "both_redis: run on Redis 6.2 and on the newest at hand")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "redis_binary" in metafunc.fixturenames:
        names = list(redis_binaries())
        wanted = names if metafunc.definition.get_closest_marker("both_redis") else names[-1:]
        metafunc.parametrize("redis_binary", wanted, indirect=True)


@pytest.fixture
def redis_binary(request: pytest.FixtureRequest) -> Path:
    """The redis-server binary this test runs on."""
    return redis_binaries()[request.param]


@pytest.fixture(scope="session")
def _shared_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[Path, RedisServer]]:
    servers: dict[Path, RedisServer] = {}
    yield servers
    for server in servers.values():
        server.stop()


@pytest.fixture
def redis_server(
    redis_binary: Path, _shared_servers: dict[Path, RedisServer], tmp_path_factory: pytest.TempPathFactory
) -> RedisServer:
    """The server of this test process, empty."""
    if redis_binary not in _shared_servers:
        folder = tmp_path_factory.mktemp("redis")
        _shared_servers[redis_binary] = RedisServer(redis_binary, folder).start()
    server = _shared_servers[redis_binary]
    server.wipe()
    return server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The URL of an empty Redis."""
    return redis_server.url


@pytest.fixture
def make_redis(redis_binary: Path, tmp_path: Path) -> Iterator[Callable[..., RedisServer]]:
    """Start private servers, with redis.conf options as keywords (underscores for hyphens)."""
    started: list[RedisServer] = []
    numbers = count(1)

    def make(**options: str) -> RedisServer:
        server = RedisServer(redis_binary, tmp_path / f"redis-{next(numbers)}", options)
        started.append(server)
        return server.start()

    yield make
    for server in started:
        server.stop()
