"""The S3 sink against a real S3 server, and against one that fails in every way endpoints fail."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lib.errors import LeaseLost, StorageMismatch, StorageRefused, StorageUnavailable
from lib.spool import spool_name
from tests.support.s3_server import Exchange, FaultyProxy, S3Server
from tests.support.uploads import FILES, ROLES
from uploader.plan import UploadPlan, make_plan
from uploader.s3 import S3Sink
from uploader.settings import UploaderSettings
from uploader.sink import StoreClosed
from uploader.spool_files import SpoolFiles


class Guard:
    """A lease that is believed until it is taken away."""

    def __init__(self) -> None:
        self.lost = False
        self.overtaken = True
        self.checks = 0

    def check(self) -> None:
        self.checks += 1
        if self.lost:
            raise LeaseLost("taken away")

    def confirm(self) -> None:
        if self.overtaken:
            raise LeaseLost("overtaken")


class Bench:
    """A spool with one job in it, and sinks onto the server."""

    def __init__(self, folder: Path, server: S3Server) -> None:
        self.spool = SpoolFiles(folder)
        self.server = server
        spool_name(folder)

    def plan(
        self, handed_ms: int = 1000, files: dict[str, bytes] | None = None, request_id: str = "show:ä 1", **changes: Any
    ) -> UploadPlan:
        folder = f"batch/{handed_ms}"
        listed = []
        for name, content in (FILES if files is None else files).items():
            path = self.spool.root / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            sha256 = hashlib.sha256(content).hexdigest()
            listed.append({"path": name, "role": ROLES.get(name, "take"), "size": len(content), "sha256": sha256})
        payload = {"output_name": "show/ä 1", "folder": folder, "files": listed, "take_token": f"token{handed_ms}"}
        return make_plan(request_id, {**payload, **changes}, {"handed_ms": handed_ms})

    def sink(self, url: str | None = None, **changes: Any) -> S3Sink:
        settings = {name.lower(): value for name, value in self.server.settings(url, **changes).items()}
        return S3Sink(UploaderSettings(**settings), self.spool)


@pytest.fixture
def bench(tmp_path: Path, s3_server: S3Server) -> Bench:
    return Bench(tmp_path / "spool", s3_server)


def test_files_are_stored_with_type_checksum_and_attempt(bench: Bench, s3_proxy: FaultyProxy) -> None:
    sink = bench.sink(s3_proxy.url, S3_PREFIX="audio/")
    sink.probe()
    outputs = sink.store(bench.plan(), Guard())
    assert outputs == {
        "best": "s3://audio/audio/show/ä 1/best.wav",
        "takes": ["s3://audio/audio/show/ä 1/take_01.wav"],
        "meta": "s3://audio/audio/show/ä 1/takes.meta.json",
        "text": "s3://audio/audio/show/ä 1/text.txt",
    }
    for name, content in FILES.items():
        assert (bench.server.bucket / "audio/show/ä 1" / name).read_bytes() == content
    puts = {one.path.rpartition("/")[2]: one.headers for one in s3_proxy.exchanges if one.method == "PUT"}
    types = {name: headers["Content-Type"] for name, headers in puts.items()}
    assert types == {
        "best.wav": "audio/wav",
        "take_01.wav": "audio/wav",
        "takes.meta.json": "application/json",
        "text.txt": "text/plain; charset=utf-8",
    }
    headers = {name.lower(): value for name, value in puts["best.wav"].items()}
    assert headers["x-amz-meta-request-id"] == "show%3A%C3%A4%201"
    assert headers["x-amz-meta-sha256"] == hashlib.sha256(FILES["best.wav"]).hexdigest()
    assert (headers["x-amz-meta-token"], headers["x-amz-meta-handed-ms"]) == ("token1000", "1000")
    assert headers["if-none-match"] == "*"
    assert "content-md5" in headers
    assert "x-amz-checksum-sha256" in headers


def test_what_is_stored_already_is_not_sent_again(bench: Bench, s3_proxy: FaultyProxy) -> None:
    sink, plan = bench.sink(s3_proxy.url), bench.plan()
    sink.store(plan, Guard())
    before = s3_proxy.count("PUT")
    sink.store(plan, Guard())
    assert s3_proxy.count("PUT") == before == len(FILES)


def test_nothing_is_written_once_the_lease_is_not_believed(bench: Bench, s3_proxy: FaultyProxy) -> None:
    guard = Guard()
    guard.lost = True
    with pytest.raises(LeaseLost):
        bench.sink(s3_proxy.url).store(bench.plan(), guard)
    assert s3_proxy.count("PUT") == 0


def test_the_lease_is_checked_before_each_write(bench: Bench, s3_proxy: FaultyProxy) -> None:
    guard = Guard()

    def lose_after_two(exchange: Exchange) -> bool:
        guard.lost = guard.lost or (s3_proxy.count("PUT") == 2 and exchange.status == 200)
        return False

    s3_proxy.fault = lose_after_two
    with pytest.raises(LeaseLost):
        bench.sink(s3_proxy.url).store(bench.plan(), guard)
    assert s3_proxy.count("PUT") == 2


def test_an_older_attempt_never_overwrites_a_newer_one(bench: Bench) -> None:
    sink = bench.sink()
    sink.store(bench.plan(2000, {"take_01.wav": b"newer"}), Guard())
    with pytest.raises(LeaseLost):
        sink.store(bench.plan(1000, {"take_01.wav": b"older"}), Guard())
    assert (bench.server.bucket / "show/ä 1/take_01.wav").read_bytes() == b"newer"


def test_a_newer_attempt_replaces_an_older_one(bench: Bench) -> None:
    sink = bench.sink()
    sink.store(bench.plan(1000, {"take_01.wav": b"older"}), Guard())
    sink.store(bench.plan(2000, {"take_01.wav": b"newer"}), Guard())
    assert (bench.server.bucket / "show/ä 1/take_01.wav").read_bytes() == b"newer"


def test_the_queue_decides_where_the_objects_time_says_otherwise(bench: Bench) -> None:
    sink, guard = bench.sink(), Guard()
    sink.store(bench.plan(2000, {"take_01.wav": b"of a clock that ran ahead"}), Guard())
    guard.overtaken = False
    sink.store(bench.plan(1000, {"take_01.wav": b"ours"}), guard)
    assert (bench.server.bucket / "show/ä 1/take_01.wav").read_bytes() == b"ours"


def test_another_writer_between_look_and_write_is_noticed_where_conditions_are_taken(
    bench: Bench, s3_proxy: FaultyProxy
) -> None:
    """The endpoint says 412 to our If-None-Match, for the newer attempt was written a moment ago."""
    newer = bench.plan(2000, {"take_01.wav": b"newer"})

    def overtaken(exchange: Exchange) -> bool:
        if exchange.method == "PUT" and not exchange.status:
            assert exchange.headers["If-None-Match"] == "*"
            s3_proxy.fault = None
            bench.sink().store(newer, Guard())
            exchange.error(412, "PreconditionFailed")
            return True
        return False

    s3_proxy.fault = overtaken
    with pytest.raises(LeaseLost):
        bench.sink(s3_proxy.url).store(bench.plan(1000, {"take_01.wav": b"older"}), Guard())
    assert (bench.server.bucket / "show/ä 1/take_01.wav").read_bytes() == b"newer"


def test_an_endpoint_without_conditions_and_checksums_is_served_without_them(
    bench: Bench, s3_proxy: FaultyProxy
) -> None:
    def plain(exchange: Exchange) -> bool:
        names = {name.lower() for name in exchange.headers}
        if exchange.method == "PUT" and names & {"if-none-match", "if-match", "x-amz-checksum-sha256"}:
            exchange.error(501, "NotImplemented")
            return True
        return False

    s3_proxy.fault = plain
    sink = bench.sink(s3_proxy.url)
    sink.store(bench.plan(), Guard())
    refused = sum(1 for one in s3_proxy.exchanges if one.status == 501)
    sink.store(bench.plan(2000), Guard())
    assert sum(1 for one in s3_proxy.exchanges if one.status == 501) == refused == 2  # learned once


def etag(value: str) -> Callable[[Exchange], bool]:
    """Answer with this ETag, and with no checksum."""

    def change(exchange: Exchange) -> bool:
        if exchange.status == 200 and exchange.method in ("HEAD", "PUT"):
            answer = {name: text for name, text in exchange.answer.items() if "checksum" not in name.lower()}
            exchange.answer = {**{n: t for n, t in answer.items() if n.lower() != "etag"}, "ETag": value}
        return False

    return change


def test_an_etag_that_is_no_md5_is_settled_by_reading_back(bench: Bench, s3_proxy: FaultyProxy) -> None:
    for number, value in enumerate(('"opaque-tag"', '"' + "0" * 32 + '"')):
        s3_proxy.fault = etag(value)
        bench.sink(s3_proxy.url).store(bench.plan(1000 + number), Guard())
    assert s3_proxy.count("GET") == 2 * len(FILES)


@pytest.mark.parametrize("lie", ["checksum", "size", "metadata", "content", "content behind a right checksum"])
def test_an_endpoint_that_lies_is_caught(bench: Bench, s3_proxy: FaultyProxy, lie: str) -> None:
    stored = bench.server.bucket / "show/ä 1/take_01.wav"

    def liar(exchange: Exchange) -> bool:
        answer = {name.lower(): value for name, value in exchange.answer.items()}
        if exchange.method == "PUT" and exchange.status == 200 and lie.startswith("content"):
            stored.write_bytes(b"X" * stored.stat().st_size)
        if exchange.method == "HEAD" and exchange.status == 200:
            if lie == "checksum":
                answer["x-amz-checksum-sha256"] = "A" * 43 + "="
            elif lie == "size":
                answer["content-length"] = "3"
            elif lie == "metadata":
                answer["x-amz-meta-token"] = "another's"
            elif lie == "content behind a right checksum":
                answer["etag"] = '"' + hashlib.md5(FILES["take_01.wav"]).hexdigest() + '"'
            exchange.answer = answer
        return False

    s3_proxy.fault = liar
    sink = bench.sink(s3_proxy.url, S3_READ_BACK=lie == "content behind a right checksum")
    plan = bench.plan(files={"take_01.wav": FILES["take_01.wav"]})
    with pytest.raises(StorageMismatch):
        sink.store(plan, Guard())
    s3_proxy.fault = None
    sink.store(plan, Guard())  # and the next try puts it right
    assert stored.read_bytes() == FILES["take_01.wav"]


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (503, "SlowDown", StorageUnavailable),
        (500, "InternalError", StorageUnavailable),
        (429, "TooManyRequests", StorageUnavailable),
        (403, "RequestTimeTooSkewed", StorageUnavailable),
        (403, "AccessDenied", StoreClosed),
        (403, "SignatureDoesNotMatch", StoreClosed),
        (404, "NoSuchBucket", StoreClosed),
        (400, "ExpiredToken", StoreClosed),
        (400, "BadDigest", StorageMismatch),
        (400, "KeyTooLongError", StorageRefused),
        (400, "EntityTooLarge", StorageRefused),
    ],
)
def test_every_answer_gets_its_class(
    bench: Bench, s3_proxy: FaultyProxy, status: int, code: str, expected: type[Exception]
) -> None:
    def refuse(exchange: Exchange) -> bool:
        if exchange.method == "PUT":
            exchange.error(status, code)
            return True
        return False

    s3_proxy.fault = refuse
    with pytest.raises(expected) as caught:
        bench.sink(s3_proxy.url).store(bench.plan(), Guard())
    assert caught.type is expected
    assert code in str(caught.value)


def test_no_error_of_the_library_is_left_unmapped() -> None:
    import inspect

    import botocore.exceptions

    from lib.errors import JobRunnerError
    from uploader.s3 import translated

    for name, kind in inspect.getmembers(botocore.exceptions, inspect.isclass):
        if not issubclass(kind, botocore.exceptions.BotoCoreError | botocore.exceptions.ClientError):
            continue
        error = kind.__new__(kind)
        Exception.__init__(error, name)
        error.response = {"Error": {"Code": "Odd"}, "ResponseMetadata": {"HTTPStatusCode": 418}}
        with pytest.raises(JobRunnerError), translated("somewhere"):
            raise error


def test_an_endpoint_that_refuses_connections_is_unavailable(bench: Bench) -> None:
    from ops.demo.redis_binary import free_port

    with pytest.raises(StorageUnavailable):
        bench.sink(f"http://127.0.0.1:{free_port()}").probe()


def test_an_endpoint_that_hangs_is_unavailable_after_its_timeout(bench: Bench, s3_proxy: FaultyProxy) -> None:
    s3_proxy.hang.set()
    with pytest.raises(StorageUnavailable):
        bench.sink(s3_proxy.url, S3_READ_TIMEOUT_SECONDS=0.2).probe()


def test_a_write_is_never_repeated_by_the_library(bench: Bench, s3_proxy: FaultyProxy) -> None:
    def fail(exchange: Exchange) -> bool:
        if exchange.method == "PUT":
            exchange.error(503, "SlowDown")
        return exchange.method == "PUT"

    s3_proxy.fault = fail
    with pytest.raises(StorageUnavailable):
        bench.sink(s3_proxy.url).store(bench.plan(), Guard())
    assert s3_proxy.count("PUT") == 1


def test_a_missing_bucket_and_wrong_keys_close_the_store(bench: Bench) -> None:
    with pytest.raises(StoreClosed, match="bucket nowhere"):
        bench.sink(S3_BUCKET="nowhere").probe()
    with pytest.raises(StoreClosed) as caught:
        bench.sink(S3_SECRET_ACCESS_KEY="wrong-secret-value").probe()
    assert "wrong-secret-value" not in str(caught.value)


def test_a_key_longer_than_s3_takes_is_refused_before_anything_is_sent(bench: Bench, s3_proxy: FaultyProxy) -> None:
    with pytest.raises(StorageRefused, match="1024"):
        bench.sink(s3_proxy.url, S3_PREFIX="p" * 1020).store(bench.plan(), Guard())
    assert s3_proxy.exchanges == []


def test_the_second_look_puts_back_what_a_late_write_of_an_older_attempt_overwrote(bench: Bench) -> None:
    plan, older = bench.plan(2000, {"take_01.wav": b"newer"}), bench.plan(1000, {"take_01.wav": b"older"})
    sink, late = bench.sink(), Guard()
    sink.store(plan, Guard())
    assert sink.recheck(plan) == 0
    late.overtaken = False
    bench.sink().store(older, late)
    assert sink.recheck(plan) == 1
    assert (bench.server.bucket / "show/ä 1/take_01.wav").read_bytes() == b"newer"
    assert sink.recheck(plan) == 0


def test_the_second_look_leaves_alone_what_is_newer_removed_or_anothers(bench: Bench) -> None:
    sink, plan = bench.sink(), bench.plan(1000, {"take_01.wav": b"ours"})
    sink.store(plan, Guard())
    sink.store(bench.plan(2000, {"take_01.wav": b"newer"}), Guard())
    assert sink.recheck(plan) == 0
    sink.store(bench.plan(500, {"take_01.wav": b"another's"}, request_id="other:1"), Guard())
    assert sink.recheck(plan) == 0
    (bench.server.bucket / "show/ä 1/take_01.wav").unlink()
    assert sink.recheck(plan) == 0
    assert not (bench.server.bucket / "show/ä 1/take_01.wav").exists()


def test_metadata_survives_an_endpoint_that_capitalises_it(bench: Bench, s3_server: S3Server) -> None:
    sink = bench.sink()
    sink.store(bench.plan(), Guard())
    head = sink._client.head_object(Bucket="audio", Key="show/ä 1/best.wav")
    assert "Request-Id" in head["Metadata"] or "request-id" in head["Metadata"], json.dumps(head["Metadata"])
