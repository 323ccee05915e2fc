"""The real uploader killed, paused, stopped and cut off from Redis: nothing is lost, nothing is recorded twice."""

from __future__ import annotations

import json
import random
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.redis_server import RedisServer
from tests.support.s3_server import Exchange, FaultyProxy, S3Server
from tests.support.uploads import FILES, Handed, UploaderProcess
from tests.support.wait import wait_until

Start = Callable[..., UploaderProcess]


def counts(handed: Handed) -> tuple[int, int, int]:
    """Records, lines of history, and what the counter says of done jobs."""
    keys = handed.store.keys
    return (
        handed.client.hlen(keys.result),
        handed.client.zcard(keys.history_done),
        handed.look.status(180_000)["states"]["done"],
    )


def done_events(handed: Handed) -> list[str]:
    return [
        fields["request_id"]
        for _, fields in handed.client.xrange(handed.store.keys.events)
        if fields["state"] == "done"
    ]


@pytest.mark.both_redis
def test_killed_again_and_again_it_loses_nothing_and_records_nothing_twice(
    handed: Handed, start_uploader: Start, tmp_path: Path
) -> None:
    ids = [f"show-{number % 4}:beat-{number:03d}" for number in range(60)]
    for one in ids:
        handed.enqueue(one)
    batch, token = handed.batch(*ids)
    payloads = [(one, json.dumps(handed.spooled(batch, token, one))) for one in ids]
    chance = random.Random(7)
    for round_ in range(6):
        handed.store.hand_over(batch, token, handed.spool, payloads[round_ * 10 : round_ * 10 + 10])
        uploader = start_uploader()
        wait_until(lambda: uploader.said("uploader starts"))  # noqa: B023 - called at once
        seen = handed.look.status(180_000)["states"]["done"]
        wanted = seen + chance.randrange(3)
        wait_until(lambda: handed.look.status(180_000)["states"]["done"] >= wanted)  # noqa: B023 - called at once
        uploader.kill()
    start_uploader()
    handed.wait_for("done", *ids)
    assert counts(handed) == (60, 60, 60)
    assert sorted(done_events(handed)) == sorted(ids)
    assert handed.uploads() == 0
    for number in range(4):
        folder = tmp_path / "audio" / f"show-{number}"
        wait_until(lambda: json.loads((folder / "job.json").read_text())["done"] == 15)  # noqa: B023 - called at once
        for beat in json.loads((folder / "job.json").read_text())["beats"]:
            assert (folder / beat["best"]).read_bytes() == FILES["best.wav"]


def test_killed_between_storing_and_recording_it_stores_nothing_twice(
    handed: Handed, start_uploader: Start, s3_proxy: FaultyProxy, s3_server: S3Server
) -> None:
    stored = threading.Event()

    def last_look(exchange: Exchange) -> bool:
        if exchange.method == "HEAD" and exchange.path.endswith("text.txt") and exchange.status == 200:
            stored.set()
            s3_proxy.hang.set()
            s3_proxy.let_go.wait(30)
        return False

    s3_proxy.fault = last_look
    handed.hand_over("show:a")
    first = start_uploader(**s3_server.settings(s3_proxy.url, S3_READ_TIMEOUT_SECONDS=60))
    assert stored.wait(15)
    first.kill()
    s3_proxy.fault = None
    s3_proxy.hang.clear()
    puts = s3_proxy.count("PUT")
    start_uploader(**s3_server.settings(s3_proxy.url))
    handed.wait_for("done", "show:a")
    assert s3_proxy.count("PUT") == puts == len(FILES)
    assert counts(handed) == (1, 1, 1)


@pytest.mark.both_redis
def test_another_uploader_takes_over_what_a_dead_one_held(
    handed: Handed, start_uploader: Start, s3_proxy: FaultyProxy, s3_server: S3Server
) -> None:
    inside = threading.Event()

    def hold(exchange: Exchange) -> bool:
        if exchange.method == "PUT":
            inside.set()
            s3_proxy.let_go.wait(30)
        return False

    s3_proxy.fault = hold
    handed.hand_over("show:a")
    dead = start_uploader(**s3_server.settings(s3_proxy.url), WORKER_NAME="dead", UPLOADER_LEASE_MS=1000)
    assert inside.wait(15)
    dead.kill()
    start_uploader(**s3_server.settings(), WORKER_NAME="heir", UPLOADER_LEASE_MS=1000)
    handed.wait_for("done", "show:a")
    assert counts(handed) == (1, 1, 1)


def test_a_paused_holder_writes_nothing_after_another_took_over(
    handed: Handed, start_uploader: Start, s3_proxy: FaultyProxy, s3_server: S3Server
) -> None:
    inside, release = threading.Event(), threading.Event()

    def hold(exchange: Exchange) -> bool:
        if exchange.method == "PUT" and not exchange.status:
            inside.set()
            release.wait(30)
        return False

    s3_proxy.fault = hold
    handed.hand_over("show:a")
    paused = start_uploader(
        **s3_server.settings(s3_proxy.url, S3_READ_TIMEOUT_SECONDS=60), WORKER_NAME="paused", UPLOADER_LEASE_MS=1500
    )
    assert inside.wait(15)
    paused.signal(signal.SIGSTOP)
    start_uploader(**s3_server.settings(), WORKER_NAME="heir", UPLOADER_LEASE_MS=1500)
    handed.wait_for("done", "show:a")
    writes = s3_proxy.count("PUT")
    paused.signal(signal.SIGCONT)
    release.set()
    wait_until(lambda: any(line.get("outcome") in ("lost", "stale") for line in paused.lines()))
    assert s3_proxy.count("PUT") == writes == 1
    assert counts(handed) == (1, 1, 1)
    assert paused.stop() == 0


def test_sigterm_ends_the_uploads_at_hand_and_leaves_with_0(
    handed: Handed, start_uploader: Start, s3_proxy: FaultyProxy, s3_server: S3Server
) -> None:
    inside, release = threading.Event(), threading.Event()

    def hold(exchange: Exchange) -> bool:
        if exchange.method == "PUT" and not exchange.status:
            inside.set()
            release.wait(30)
        return False

    s3_proxy.fault = hold
    handed.hand_over("show:a")
    uploader = start_uploader(**s3_server.settings(s3_proxy.url))
    assert inside.wait(15)
    uploader.signal(signal.SIGTERM)
    handed.hand_over("show:late")
    release.set()
    assert uploader.wait() == 0
    assert handed.status("show:a") == "done"
    assert handed.status("show:late") == "uploading"


def test_sigterm_does_not_wait_longer_than_it_may(
    handed: Handed, start_uploader: Start, s3_proxy: FaultyProxy, s3_server: S3Server
) -> None:
    uploader = start_uploader(**s3_server.settings(s3_proxy.url, S3_READ_TIMEOUT_SECONDS=60), UPLOADER_STOP_SECONDS=0.3)
    wait_until(lambda: uploader.said("uploader starts"))
    s3_proxy.hang.set()
    before = len(s3_proxy.exchanges)
    handed.hand_over("show:a")
    wait_until(lambda: len(s3_proxy.exchanges) > before)
    uploader.signal(signal.SIGTERM)
    assert uploader.wait(timeout=5) == 0
    start_uploader(**s3_server.settings())
    handed.wait_for("done", "show:a")  # taken back by the same name at once


@pytest.fixture
def own_redis(make_redis: Callable[..., RedisServer], tmp_path: Path) -> Iterator[tuple[RedisServer, Handed]]:
    """A Redis that the test may pause and restart, with a spool on it."""
    server = make_redis()
    handed = Handed(server.url, tmp_path / "own-spool")
    yield server, handed
    handed.close()


def test_redis_away_and_back_is_waited_out(own_redis: tuple[RedisServer, Handed], tmp_path: Path) -> None:
    server, handed = own_redis
    with UploaderProcess(handed.environment(), tmp_path / "log") as uploader:
        handed.hand_over("show:a")
        handed.wait_for("done", "show:a")
        server.stop()
        wait_until(lambda: uploader.said("waiting for Redis"))
        server.start()
        handed.hand_over("show:b")
        handed.wait_for("done", "show:b")
        wait_until(lambda: uploader.said("Redis is back"))
        waits = [line for line in uploader.lines() if line["msg"] == "waiting for Redis"]
        assert len(waits) == 1  # logged once per change, not per try
        assert uploader.stop() == 0


def test_redis_that_lost_the_group_gets_a_new_one(own_redis: tuple[RedisServer, Handed], tmp_path: Path) -> None:
    _server, handed = own_redis
    with UploaderProcess(handed.environment(), tmp_path / "log") as uploader:
        wait_until(lambda: uploader.said("uploader starts"))
        wait_until(lambda: handed.client.exists(handed.stream))
        handed.client.flushall()
        handed.hand_over("show:a")
        handed.wait_for("done", "show:a")


def test_redis_at_its_memory_limit_still_gets_its_records(
    own_redis: tuple[RedisServer, Handed], tmp_path: Path
) -> None:
    _server, handed = own_redis
    handed.enqueue("show:a")
    batch, token = handed.batch("show:a")
    payload = handed.spooled(batch, token, "show:a")
    with UploaderProcess(handed.environment(), tmp_path / "log"):
        wait_until(lambda: handed.client.exists(handed.stream), what="the uploader has made its group")
        handed.client.config_set("maxmemory", "1")
        assert handed.store.hand_over(batch, token, handed.spool, [("show:a", json.dumps(payload))]) == ["ok"]
        handed.wait_for("done", "show:a")


def test_a_redis_that_asks_for_a_password_stops_the_start_with_one_line(
    make_redis: Callable[..., RedisServer], tmp_path: Path, handed: Handed, start_uploader: Start
) -> None:
    server = make_redis(requirepass="tests-password")
    uploader = start_uploader(REDIS_URL=f"redis://127.0.0.1:{server.port}/0")
    assert uploader.wait() == 2
    assert len(uploader.log.read_text().splitlines()) == 1
    assert "REDIS_URL" in uploader.log.read_text()
