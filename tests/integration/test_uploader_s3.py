"""The real uploader, storing in a real S3 server: outages, refusals, and holders that come too late."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable
from pathlib import Path

from lib.jobqueue.records import failed_record
from ops.demo.redis_binary import free_port
from tests.support.s3_server import Exchange, FaultyProxy, S3Server
from tests.support.uploads import FILES, Handed, UploaderProcess
from tests.support.wait import wait_until

Start = Callable[..., UploaderProcess]


def test_a_job_ends_in_the_bucket_and_its_spool_folder_goes_after_the_second_look(
    handed: Handed, start_uploader: Start, s3_server: S3Server
) -> None:
    folders = [handed.hand_over(f"show:{number}") for number in range(8)]
    uploader = start_uploader(**s3_server.settings(S3_PREFIX="v1/"), UPLOADER_LEASE_MS=1500)
    records = handed.wait_for("done", *(f"show:{number}" for number in range(8)))
    assert records[3]["outputs"] == {
        "best": "s3://audio/v1/show/3/best.wav",
        "takes": ["s3://audio/v1/show/3/take_01.wav"],
        "meta": "s3://audio/v1/show/3/takes.meta.json",
        "text": "s3://audio/v1/show/3/text.txt",
    }
    assert (s3_server.bucket / "v1/show/3/text.txt").read_bytes() == FILES["text.txt"]
    assert all(folder.exists() for folder in folders[-1:])
    wait_until(lambda: not any(folder.exists() for folder in folders), what="spool folders are gone")
    assert uploader.stop() == 0
    assert "tests-secret" not in uploader.log.read_text()


def test_what_an_operator_must_put_right_stops_the_start_with_one_line(
    handed: Handed, start_uploader: Start, s3_server: S3Server
) -> None:
    wrong: list[tuple[dict[str, str], str]] = [
        ({"S3_BUCKET": "nowhere"}, "bucket nowhere"),
        ({"S3_SECRET_ACCESS_KEY": "wrong-secret-value"}, "403"),
        ({"S3_ENDPOINT_URL": "ftp://nowhere"}, "S3_ENDPOINT_URL"),
        ({"S3_SECRET_ACCESS_KEY": ""}, "go together"),
        ({"S3_ACCESS_KEY_ID": "", "S3_SECRET_ACCESS_KEY": "", "AWS_EC2_METADATA_DISABLED": "true"}, "S3_ACCESS_KEY_ID"),
    ]
    started = [(start_uploader(**{**s3_server.settings(), **settings}), said) for settings, said in wrong]
    for uploader, said in started:
        assert uploader.wait(30) == 2
        (line,) = uploader.log.read_text().splitlines()
        assert said in line
        assert "wrong-secret-value" not in line


def test_secrets_come_from_files(handed: Handed, start_uploader: Start, s3_server: S3Server, tmp_path: Path) -> None:
    settings = s3_server.settings()
    for name in ("S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY"):
        (tmp_path / name).write_text(f"{settings.pop(name)}\n")
        settings[f"{name}_FILE"] = tmp_path / name
    handed.hand_over("show:a")
    start_uploader(**settings)
    handed.wait_for("done", "show:a")


def test_an_endpoint_that_is_away_at_the_start_is_waited_for(
    handed: Handed, start_uploader: Start, tmp_path: Path
) -> None:
    server = S3Server(tmp_path / "late")
    server.port = free_port()
    handed.hand_over("show:a")
    uploader = start_uploader(**server.settings())
    wait_until(lambda: uploader.said("not there yet; waiting"))
    try:
        server.start()
        handed.wait_for("done", "show:a")
    finally:
        server.stop()


def test_a_store_in_trouble_is_tried_again_and_sends_no_audio_back(
    handed: Handed, start_uploader: Start, s3_proxy: FaultyProxy, s3_server: S3Server
) -> None:
    uploader = start_uploader(**s3_server.settings(s3_proxy.url, S3_READ_TIMEOUT_SECONDS=0.5))
    wait_until(lambda: uploader.said("uploader starts"))
    answers = {"503": (503, "SlowDown"), "access denied": (403, "AccessDenied"), "bucket gone": (404, "NoSuchBucket")}
    for number, fault in enumerate([*answers, "hangs", "lies"], start=1):

        def trouble(exchange: Exchange, fault: str = fault) -> bool:
            if exchange.method == "PUT" and fault in answers:
                exchange.error(*answers[fault])
                return True
            if exchange.method == "HEAD" and fault == "lies" and exchange.status == 200:
                exchange.answer["x-amz-checksum-sha256"] = "A" * 43 + "="
            return False

        s3_proxy.fault = trouble
        if fault == "hangs":
            s3_proxy.hang.set()
        before = len(s3_proxy.exchanges)
        folder = handed.hand_over(f"show:{number}")
        wait_until(lambda: count(uploader, "storing waits") == number, what=f"{fault}: it waits")  # noqa: B023
        tries = 2 if fault == "hangs" else 5
        wait_until(lambda: len(s3_proxy.exchanges) >= before + tries, what=f"{fault}: it tries again")  # noqa: B023
        assert handed.status(f"show:{number}") == "uploading"
        assert folder.exists()
        s3_proxy.fault = None
        s3_proxy.hang.clear()
        (record,) = handed.wait_for("done", f"show:{number}")
        assert record["attempt"] == 1
        wait_until(lambda: count(uploader, "storing goes on") == number)  # noqa: B023
    assert uploader.stop() == 0


def count(uploader: UploaderProcess, message: str) -> int:
    return sum(1 for line in uploader.lines() if line["msg"] == message)


def test_one_job_that_the_store_never_takes_fails_and_the_others_go_on(
    handed: Handed, start_uploader: Start, s3_server: S3Server
) -> None:
    handed.hand_over("long:a", "show/" + "x" * 890)
    handed.hand_over("show:a")
    start_uploader(**s3_server.settings(S3_PREFIX="p" * 140))
    handed.wait_for("done", "show:a")
    (record,) = handed.wait_for("failed", "long:a")
    assert record["error_type"] == "storage_refused"


def test_one_stuck_upload_does_not_hold_up_the_others(
    handed: Handed, start_uploader: Start, s3_proxy: FaultyProxy, s3_server: S3Server
) -> None:
    def stuck(exchange: Exchange) -> bool:
        if exchange.method == "PUT" and "/stuck/" in exchange.path:
            exchange.error(503, "SlowDown")
            return True
        return False

    s3_proxy.fault = stuck
    handed.hand_over("show:stuck")
    start_uploader(**s3_server.settings(s3_proxy.url))
    for number in range(6):
        handed.hand_over(f"show:{number}")
    handed.wait_for("done", *(f"show:{number}" for number in range(6)))
    assert handed.status("show:stuck") == "uploading"


def test_a_late_write_of_an_overtaken_attempt_is_put_right_and_records_nothing(
    handed: Handed, start_uploader: Start, s3_proxy: FaultyProxy, s3_server: S3Server
) -> None:
    """The first uploader hangs in a PUT; its job is retried and stored by another; only then the PUT arrives."""
    inside, release = threading.Event(), threading.Event()

    def hold(exchange: Exchange) -> bool:
        if exchange.method == "PUT" and not exchange.status:
            inside.set()
            release.wait(30)
        return False

    s3_proxy.fault = hold
    handed.hand_over("show:a", files={"take_01.wav": b"older"})
    slow = start_uploader(**s3_server.settings(s3_proxy.url, S3_READ_TIMEOUT_SECONDS=60), WORKER_NAME="slow")
    assert inside.wait(15)
    slow.signal(signal.SIGSTOP)
    spec = handed.look.spec("show:a") or ""
    record = failed_record(
        "show:a",
        error_type="cancelled",
        stage="uploading",
        error="",
        attempt=0,
        failed_at=1,
        job=None,
        status="cancelled",
    )
    assert handed.store.cancel("show:a", handed.spool, json.dumps(record)) == "cancelled"
    assert handed.store.retry("show:a", handed.look.raw_failed("show:a") or "", spec, "sha256:1") == "queued"
    folder = handed.speak_again("show:a", files={"take_01.wav": b"newer"})
    fast = start_uploader(**s3_server.settings(), WORKER_NAME="fast")
    handed.wait_for("done", "show:a")
    stored = s3_server.bucket / "show/a/take_01.wav"
    assert stored.read_bytes() == b"newer"
    release.set()
    wait_until(lambda: fast.said("overwritten files put right"), what=fast.log.read_text() + slow.log.read_text())
    assert stored.read_bytes() == b"newer"
    wait_until(lambda: not folder.exists())
    assert handed.look.status(180_000)["states"]["done"] == 1
    slow.signal(signal.SIGCONT)
    wait_until(lambda: any(line.get("outcome") in ("lost", "stale") for line in slow.lines()))
    assert stored.read_bytes() == b"newer"
    assert slow.stop() == 0
    assert fast.stop() == 0


def test_the_second_look_survives_a_restart(handed: Handed, start_uploader: Start, s3_server: S3Server) -> None:
    folder = handed.hand_over("show:a")
    first = start_uploader(**s3_server.settings(), UPLOADER_LEASE_MS=60_000)
    handed.wait_for("done", "show:a")
    wait_until(lambda: (folder / ".settled.json").exists())
    first.kill()
    start_uploader(**s3_server.settings(), UPLOADER_LEASE_MS=1000)
    wait_until(lambda: not folder.exists())
