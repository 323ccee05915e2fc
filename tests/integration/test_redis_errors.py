"""What Redis may do to a client, and which of our errors it becomes: nothing of redis-py gets through."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from lib.errors import InputError, QueueCorrupt, QueueFull, QueueRefused, QueueUnavailable
from lib.jobqueue.look import Look
from lib.jobqueue.store import JobStore
from lib.redisio import connect
from ops.demo.redis_binary import free_port
from tests.support.queue_line import Line, content_hash, spec
from tests.support.redis_server import RedisServer
from tests.support.snapshot import unchanged
from tests.support.tcp_proxy import CuttingProxy

JOB = [("a", content_hash("a"), spec("a"))]


@contextlib.contextmanager
def store_at(url: str, **options: Any) -> Iterator[JobStore]:
    store = JobStore.connect(url, **options)
    try:
        yield store
    finally:
        store.client.close()


@contextlib.contextmanager
def answering(reply: bytes) -> Iterator[str]:
    """The URL of a server that answers whatever it is asked with `reply`."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.02)
        stop = threading.Event()

        def serve() -> None:
            clients: list[socket.socket] = []
            while not stop.is_set():
                with contextlib.suppress(TimeoutError):
                    client, _ = server.accept()
                    client.settimeout(0.02)
                    clients.append(client)
                for client in clients:
                    with contextlib.suppress(OSError):
                        if client.recv(65536):
                            client.sendall(reply)
            for client in clients:
                client.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"
        finally:
            stop.set()
            thread.join(timeout=10)


def test_a_redis_that_is_down_is_unavailable_and_that_is_told_quickly() -> None:
    started = time.monotonic()
    with store_at(f"redis://127.0.0.1:{free_port()}/0") as store, pytest.raises(QueueUnavailable):
        store.enqueue(JOB)
    assert time.monotonic() - started < 5


def test_a_host_that_does_not_exist_is_unavailable() -> None:
    with store_at("redis://no-such-host.invalid:6379/0", retries=0) as store, pytest.raises(QueueUnavailable):
        store.ping()


def test_a_redis_that_does_not_answer_in_time_is_unavailable(make_redis: Callable[..., RedisServer]) -> None:
    server = make_redis()
    with store_at(server.url, timeout_seconds=0.1, retries=1) as store:
        store.ping()
        server.pause()
        for call in (store.ping, lambda: store.enqueue(JOB), lambda: Look(store).status(1000)):
            with pytest.raises(QueueUnavailable):
                call()
        server.resume()
        assert store.enqueue(JOB) in ([("queued", "")], [("duplicate_request", content_hash("a"))])


def test_work_that_a_slow_redis_did_late_is_there_once(make_redis: Callable[..., RedisServer]) -> None:
    server = make_redis()
    with store_at(server.url, timeout_seconds=0.1, retries=1) as store, server.client() as client:
        store.enqueue(JOB)
        server.pause()
        with pytest.raises(QueueUnavailable):
            store.enqueue([("b", content_hash("b"), spec("b"))], nonce="n")
        server.resume()
        assert store.enqueue([("b", content_hash("b"), spec("b"))], nonce="n") == [("queued", "")]
        assert client.xlen(store.keys.jobs_stream) == 2


@pytest.mark.both_redis
def test_a_missing_or_wrong_password_is_refused_and_never_shown(make_redis: Callable[..., RedisServer]) -> None:
    server = make_redis(requirepass="let-me-in")
    for login in ("", ":wrong-secret@", "nobody:wrong-secret@"):
        with store_at(f"redis://{login}127.0.0.1:{server.port}/0", retries=0) as store:
            for call in (store.ping, lambda: store.enqueue(JOB)):
                with pytest.raises(QueueRefused) as caught:
                    call()
                assert "secret" not in str(caught.value)
    with store_at(server.url) as store:
        assert store.enqueue(JOB) == [("queued", "")]


@pytest.mark.both_redis
def test_a_user_without_the_right_to_a_command_is_refused(make_redis: Callable[..., RedisServer]) -> None:
    server = make_redis()
    with server.client() as client:
        client.acl_setuser("reader", enabled=True, nopass=True, keys=["*"], commands=["+ping", "+time"])
    with store_at(f"redis://reader:any@127.0.0.1:{server.port}/0") as store:
        store.ping()
        with pytest.raises(QueueRefused):
            store.enqueue(JOB)


@pytest.mark.both_redis
def test_a_user_without_the_right_to_our_keys_is_refused_and_nothing_is_written(
    make_redis: Callable[..., RedisServer],
) -> None:
    server = make_redis()
    with server.client() as client:
        client.acl_setuser("other", enabled=True, nopass=True, keys=["other:*"], categories=["+@all"])
        with (
            store_at(f"redis://other:any@127.0.0.1:{server.port}/0") as store,
            unchanged(client),
            pytest.raises(QueueRefused),
        ):
            store.enqueue(JOB)


@pytest.mark.both_redis
def test_a_redis_that_wants_replicas_takes_nothing_until_it_has_them(make_redis: Callable[..., RedisServer]) -> None:
    server = make_redis(min_replicas_to_write="1")
    with store_at(server.url) as store, server.client() as client, unchanged(client), pytest.raises(QueueUnavailable):
        store.enqueue(JOB)


@pytest.mark.both_redis
def test_a_replica_whose_primary_is_away_is_unavailable(make_redis: Callable[..., RedisServer]) -> None:
    server = make_redis(replica_serve_stale_data="no")
    with server.client() as client:
        client.replicaof("127.0.0.1", 1)
    with store_at(server.url) as store:
        for call in (lambda: store.enqueue(JOB), lambda: Look(store).status(1000)):
            with pytest.raises(QueueUnavailable):
                call()


@pytest.mark.both_redis
def test_a_cluster_that_is_not_whole_is_unavailable(make_redis: Callable[..., RedisServer]) -> None:
    with store_at(make_redis(cluster_enabled="yes").url, prefix="{pab}:") as store, pytest.raises(QueueUnavailable):
        store.enqueue(JOB)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (b"-LOADING Redis is loading the dataset in memory\r\n", QueueUnavailable),
        (
            b"-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.\r\n",
            QueueUnavailable,
        ),
        (b"-MISCONF Redis is configured to save RDB snapshots, but cannot write.\r\n", QueueUnavailable),
        (b"-MASTERDOWN Link with MASTER is down\r\n", QueueUnavailable),
        (b"-CLUSTERDOWN Hash slot not served\r\n", QueueUnavailable),
        (b"-TRYAGAIN Multiple keys request during rehashing of slot\r\n", QueueUnavailable),
        (b"-MOVED 3999 127.0.0.1:6381\r\n", QueueUnavailable),
        (b"-READONLY You can't write against a read only replica.\r\n", QueueUnavailable),
        (b"-ERR max number of clients reached\r\n", QueueUnavailable),
        (b"-UNBLOCKED force unblock from blocking operation, instance state changed\r\n", QueueUnavailable),
        (b"-ERR Error running script (call to f_0): @user_script:1: -READONLY You can't write\r\n", QueueUnavailable),
        (b"-ERR Error running script (call to f_0): @user_script:1: @user_script: 1: -OOM command\r\n", QueueFull),
        (b"-OOM command not allowed when used memory > 'maxmemory'.\r\n", QueueFull),
        (b"-NOAUTH Authentication required.\r\n", QueueRefused),
        (b"-WRONGPASS invalid username-password pair or user is disabled.\r\n", QueueRefused),
        (b"-NOPERM this user has no permissions to run the 'evalsha' command\r\n", QueueRefused),
        (b"-DENIED Redis is running in protected mode\r\n", QueueRefused),
        (b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", QueueCorrupt),
        (b"-ERR something nobody has seen\r\n", QueueCorrupt),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", QueueUnavailable),
    ],
)
def test_every_answer_of_redis_becomes_one_of_our_errors(reply: bytes, expected: type[Exception]) -> None:
    with answering(reply) as url, store_at(url, timeout_seconds=1.0, retries=0) as store, pytest.raises(expected):
        store._scripts.call("beat", [store.keys.workers], [])


@pytest.mark.both_redis
@pytest.mark.parametrize("after_bytes", [0, 1, 9, 30])
def test_a_connection_that_drops_in_the_middle_of_the_answer_loses_and_doubles_nothing(
    line: Line, redis_server: RedisServer, after_bytes: int
) -> None:
    jobs = [(f"job-{number}", f"sha256:{number}", spec(f"job-{number}")) for number in range(300)]
    with CuttingProxy(redis_server.port) as proxy, store_at(f"redis://127.0.0.1:{proxy.port}/0") as store:
        proxy.cut_next(b"EVALSHA", after_bytes)
        assert store.enqueue(jobs) == [("queued", "")] * 300
        assert proxy.cuts == 1
    assert line.client.xlen(line.keys.jobs_stream) == 300
    line.check()


def test_a_connection_that_drops_and_may_not_be_tried_again_is_unavailable(redis_server: RedisServer) -> None:
    with (
        CuttingProxy(redis_server.port) as proxy,
        store_at(f"redis://127.0.0.1:{proxy.port}/0", retries=0) as store,
    ):
        store.ping()
        proxy.cut_next(b"PING")
        with pytest.raises(QueueUnavailable):
            store.ping()


def test_a_restart_of_redis_between_two_calls_is_not_noticed(make_redis: Callable[..., RedisServer]) -> None:
    server = make_redis()
    with store_at(server.url) as store:
        assert store.enqueue(JOB) == [("queued", "")]
        server.kill()
        server.start()
        assert store.enqueue(JOB) == [("duplicate_request", content_hash("a"))]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "rubbish",
        "http://localhost:6379",
        "redis://localhost:abc",
        "redis://localhost:99999",
        "redis://localhost/abc",
        "redis://localhost/-1",
        "redis://localhost/1/2",
        "redis://local host:6379",
        "redis://[::1",
        "redis://localhost/0?foo=bar",
        "redis://localhost/0?socket_timeout=soon",
        "redis://localhost/0?max_connections=-3",
        "redis://localhost?protocol=9",
        "rediss://localhost?ssl_cert_reqs=bogus",
        "redis://:secret#x@localhost:6379/0",
        "redis://:secret/x@localhost:6379/0",
        "unix://",
    ],
)
def test_a_url_that_cannot_be_read_says_how_to_write_one_and_shows_no_password(url: str) -> None:
    with pytest.raises(InputError, match=r"REDIS_URL: .*write it as redis://") as caught:
        connect(url)
    assert "secret" not in str(caught.value)


def test_good_urls_are_taken(make_redis: Callable[..., RedisServer]) -> None:
    server = make_redis(unixsocket="redis.sock")
    socket_path = server.folder / "redis.sock"
    for url in (f"redis://localhost:{server.port}", f" {server.url}\n", f"unix://{socket_path}?db=0"):
        with store_at(url) as store:
            store.ping()
    assert isinstance(connect("rediss://:p%40ss@localhost:6380/3"), redis.Redis)
