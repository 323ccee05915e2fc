"""The real uploader, storing on disk and settling on a real Redis."""

from __future__ import annotations

import http.client
import json
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lib.jobqueue.records import failed_record
from lib.jobqueue.store import Holder
from ops.demo.redis_binary import free_port
from tests.support.uploads import FILES, Handed, UploaderProcess
from tests.support.wait import wait_until

Start = Callable[..., UploaderProcess]


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    return tmp_path / "audio"


def topic(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "job.json").read_text()))


def beats(folder: Path) -> dict[str, dict[str, Any]]:
    """The beats of a topic by request id; none where there is no summary yet."""
    if not (folder / "job.json").exists():
        return {}
    return {beat["request_id"]: beat for beat in topic(folder)["beats"]}


@pytest.mark.both_redis
def test_a_job_ends_as_files_a_record_and_a_line_in_its_topic(
    handed: Handed, start_uploader: Start, audio: Path
) -> None:
    about = {"beat_id": 1, "topic_title": "The show", "total_beats": 2, "topic_id": "../../escaped"}
    folder = handed.hand_over("show:beat-001", callback_data=about)
    uploader = start_uploader()
    (record,) = handed.wait_for("done", "show:beat-001")
    for name, content in FILES.items():
        assert (audio / "show/beat-001" / name).read_bytes() == content
    assert record["outputs"] == {
        "best": str(audio / "show/beat-001/best.wav"),
        "takes": [str(audio / "show/beat-001/take_01.wav")],
        "meta": str(audio / "show/beat-001/takes.meta.json"),
        "text": str(audio / "show/beat-001/text.txt"),
    }
    assert record["attempt"] == 1
    assert record["callback_data"] == about
    assert handed.uploads() == 0
    assert handed.look.live_workers("uploader") == ["tests"]
    wait_until(lambda: not folder.exists(), what="the spool folder is gone")
    summary = topic(audio / "show")
    assert {
        name: summary[name] for name in ("job_version", "topic", "topic_title", "total_beats", "done", "failed")
    } == {
        "job_version": 1,
        "topic": "show",
        "topic_title": "The show",
        "total_beats": 2,
        "done": 1,
        "failed": 0,
    }
    (beat,) = summary["beats"]
    assert (beat["best"], beat["takes"]) == ("beat-001/best.wav", ["beat-001/take_01.wav"])
    assert (beat["beat_id"], beat["audio_seconds"]) == (1, 1.5)
    assert uploader.stop() == 0
    assert not list(audio.rglob("*.partial"))


def test_failed_and_cancelled_jobs_appear_in_their_topic_and_leave_it_once_done(
    handed: Handed, start_uploader: Start, audio: Path
) -> None:
    start_uploader()
    handed.enqueue("show:a", callback_data={"beat_id": 7})
    batch, token = handed.batch("show:a")
    spec = json.loads(handed.look.spec("show:a") or "")
    record = failed_record(
        "show:a", error_type="bad_text", stage="speaking", error="no", attempt=1, failed_at=1, job=spec
    )
    handed.store.fail(Holder("batch", token), [("show:a", batch, json.dumps(record), "bad_text")])
    wait_until(lambda: beats(audio / "show").get("show:a"))
    assert beats(audio / "show")["show:a"]["error_type"] == "bad_text"
    assert beats(audio / "show")["show:a"]["beat_id"] == 7
    assert (topic(audio / "show")["done"], topic(audio / "show")["failed"]) == (0, 1)

    handed.enqueue("show:b")
    record |= {"request_id": "show:b", "status": "cancelled", "job": {**spec, "output_name": "show/b"}}
    assert handed.store.cancel("show:b", "", json.dumps(record)) == "cancelled"
    wait_until(lambda: beats(audio / "show").get("show:b"))

    raw = handed.look.raw_failed("show:a") or ""
    assert handed.store.retry("show:a", raw, json.dumps(spec), "sha256:1") == "queued"
    handed.speak_again("show:a")
    handed.wait_for("done", "show:a")
    wait_until(lambda: beats(audio / "show")["show:a"]["status"] == "done")
    assert (topic(audio / "show")["done"], topic(audio / "show")["failed"]) == (1, 0)


def test_failures_that_came_while_no_uploader_ran_are_found_at_the_next_start(
    handed: Handed, start_uploader: Start, audio: Path
) -> None:
    first = start_uploader()
    handed.hand_over("show:a")
    handed.wait_for("done", "show:a")
    assert first.stop() == 0
    handed.enqueue("show:b")
    record = {"request_id": "show:b", "status": "cancelled", "job": {"output_name": "show/b"}}
    assert handed.store.cancel("show:b", "", json.dumps(record)) == "cancelled"
    start_uploader()
    wait_until(lambda: "show:b" in beats(audio / "show"))


def test_damaged_spool_files_put_their_jobs_back_free_of_charge(
    handed: Handed, start_uploader: Start, tmp_path: Path
) -> None:
    folders = {
        f"show:{name}": handed.hand_over(f"show:{name}") for name in ("missing", "changed", "short", "link", "gone")
    }
    (folders["show:missing"] / "take_01.wav").unlink()
    changed = folders["show:changed"] / "take_01.wav"
    changed.write_bytes(changed.read_bytes()[::-1])
    (folders["show:short"] / "take_01.wav").write_bytes(b"x")
    link = folders["show:link"] / "take_01.wav"
    link.rename(tmp_path / "elsewhere.wav")
    link.symlink_to(tmp_path / "elsewhere.wav")
    folders["show:gone"].rename(tmp_path / "elsewhere")
    for number, files in enumerate(
        ([{"path": "../x", "size": 1, "sha256": "0" * 64}], "no list", [7], [{"path": "a"}])
    ):
        request_id = f"bad:{number}"
        handed.enqueue(request_id)
        batch, token = handed.batch(request_id)
        payload = handed.spooled(batch, token, request_id) | {"files": files}
        folders[request_id] = handed.spool_dir / "none"
        assert handed.store.hand_over(batch, token, handed.spool, [(request_id, json.dumps(payload))]) == ["ok"]
    start_uploader()
    for row in handed.wait_for("queued", *folders):
        assert (row["attempt"], row["lost"], row["reason"]) == (0, 1, "spool_damaged")
    assert handed.uploads() == 0
    wait_until(lambda: not any(folder.exists() for folder in folders.values()))


def test_a_spool_that_is_not_mounted_puts_nothing_back(handed: Handed, start_uploader: Start) -> None:
    uploader = start_uploader()
    wait_until(lambda: uploader.said("uploader starts"))
    away = handed.spool_dir.with_name("spool-away")
    handed.spool_dir.rename(away)
    handed.spool_dir.mkdir()
    handed.spool_dir = away
    handed.hand_over("show:a")
    wait_until(lambda: uploader.said("storing waits"))
    assert handed.status("show:a") == "uploading"
    (away.parent / "spool").rmdir()
    away.rename(away.parent / "spool")
    handed.wait_for("done", "show:a")


def test_a_job_whose_files_are_lost_too_often_fails(handed: Handed, start_uploader: Start) -> None:
    folder = handed.hand_over("show:a")
    row = json.loads(handed.client.hget(handed.store.keys.index, "show:a"))
    handed.client.hset(handed.store.keys.index, "show:a", json.dumps({**row, "lost": 10}))
    (folder / "take_01.wav").unlink()
    start_uploader()
    (record,) = handed.wait_for("failed", "show:a")
    assert record["error_type"] == "infra_exhausted"
    assert record["job"]["output_name"] == "show/a"


def test_foreign_and_broken_entries_are_dropped_and_the_rest_goes_on(handed: Handed, start_uploader: Start) -> None:
    handed.hand_over("show:a")
    _entry, fields = handed.client.xrange(handed.stream)[0]
    handed.client.xadd(handed.stream, {"nothing": "of ours"})
    handed.client.xadd(handed.stream, {"request_id": "x", "upload": "{"})
    handed.client.xadd(handed.stream, {"request_id": "unknown", "upload": fields["upload"]})
    handed.client.xadd(handed.stream, {"request_id": "show:a", "upload": "[]"})
    handed.hand_over("show:b")
    uploader = start_uploader()
    handed.wait_for("done", "show:a", "show:b")
    wait_until(lambda: handed.uploads() == 0)
    assert uploader.said("foreign entry dropped")
    assert uploader.stop() == 0


def test_a_job_whose_own_entry_is_broken_is_put_back_by_the_audit(handed: Handed, start_uploader: Start) -> None:
    handed.hand_over("show:a")
    row = json.loads(handed.client.hget(handed.store.keys.index, "show:a"))
    broken = handed.client.xadd(handed.stream, {"request_id": "show:a", "upload": "{"})
    handed.client.xdel(handed.stream, row["stage"])
    handed.client.hset(handed.store.keys.index, "show:a", json.dumps({**row, "stage": broken}))
    start_uploader()
    wait_until(lambda: handed.uploads() == 0)
    assert handed.store.audit(0, 10) == (1, [("show:a", "uploading")])
    assert handed.status("show:a") == "queued"


def test_a_name_the_disk_cannot_take_fails_the_job_at_once(handed: Handed, start_uploader: Start, audio: Path) -> None:
    handed.hand_over("bad:a", "show/" + "x" * 300)
    handed.hand_over("bad:b", "../outside")
    handed.hand_over("bad:c", "show/job.json")
    (audio / "taken").mkdir(parents=True)
    (audio / "taken" / "file").write_text("a file where a folder should be")
    handed.hand_over("bad:d", "taken/file")
    handed.hand_over("show:good")
    start_uploader()
    handed.wait_for("done", "show:good")
    for record in handed.wait_for("failed", "bad:a", "bad:b", "bad:c", "bad:d"):
        assert record["error_type"] == "storage_refused"
        assert record["stage"] == "uploading"
    assert not (audio.parent / "outside").exists()
    assert (audio / "taken/file").read_text().startswith("a file")


def test_a_full_disk_is_waited_out_visibly_and_no_audio_goes_back(handed: Handed, start_uploader: Start) -> None:
    port = free_port()
    uploader = start_uploader(UPLOADER_METRICS_PORT=port)
    wait_until(lambda: uploader.said("uploader starts"))
    assert uploader.process is not None
    unlimited = resource.prlimit(uploader.process.pid, resource.RLIMIT_FSIZE)
    # The operating system itself refuses the write, half-way through the file.
    resource.prlimit(uploader.process.pid, resource.RLIMIT_FSIZE, (1_000_000, unlimited[1]))
    folder = handed.hand_over("show:a", files={"take_01.wav": b"x" * 3_000_000})
    reason = wait_until(lambda: unready(port), what="readyz gives a reason")
    assert "File too large" in reason
    assert "jobrunner_storage_blocked 1.0" in page(port, "/metrics")[1]
    assert page(port, "/healthz")[0] == 200
    assert handed.status("show:a") == "uploading"
    assert folder.exists()
    resource.prlimit(uploader.process.pid, resource.RLIMIT_FSIZE, unlimited)
    handed.wait_for("done", "show:a")
    wait_until(lambda: page(port, "/readyz")[0] == 200)
    assert "jobrunner_storage_blocked 0.0" in page(port, "/metrics")[1]


def page(port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def unready(port: int) -> str:
    """Why the store is not ready; empty while it is."""
    status, text = page(port, "/readyz")
    reason = str(json.loads(text)["checks"]["store"])
    return reason if status == 503 and reason != "ok" else ""


def test_a_retried_job_replaces_its_files_and_leaves_no_take_of_the_first_attempt(
    handed: Handed, start_uploader: Start, audio: Path
) -> None:
    handed.hand_over("show:a", files={"take_01.wav": b"old", "take_02.wav": b"old two"})
    start_uploader()
    handed.wait_for("done", "show:a")
    handed.client.delete(handed.store.keys.result, handed.store.keys.index)  # as after a flush --hard
    handed.hand_over("show:a", files={"take_01.wav": b"new"})
    handed.wait_for("done", "show:a")
    assert (audio / "show/a/take_01.wav").read_bytes() == b"new"
    assert not (audio / "show/a/take_02.wav").exists()


def test_the_queue_decides_where_the_clock_of_redis_was_set_back(
    handed: Handed, start_uploader: Start, audio: Path
) -> None:
    place = audio / "show/a"
    place.mkdir(parents=True)
    note = {"request_id": "show:a", "handed_ms": 99_999_999_999_999, "attempt": 0, "files": {}}
    (place / ".stored.json").write_text(json.dumps(note))
    handed.hand_over("show:a")
    start_uploader()
    handed.wait_for("done", "show:a")
    assert (place / "best.wav").read_bytes() == FILES["best.wav"]


def test_jobs_without_files_are_settled_many_at_a_time(handed: Handed, start_uploader: Start, audio: Path) -> None:
    ids = [f"bulk:{number:04d}" for number in range(1500)]
    handed.store.enqueue(
        [
            (one, "sha256:1", json.dumps({"request_id": one, "output_name": one.replace(":", "/"), "text": "x"}))
            for one in ids
        ]
    )
    for at in range(0, len(ids), 100):
        part = ids[at : at + 100]
        batch, token = handed.batch(*part)
        payloads = [(one, json.dumps(handed.spooled(batch, token, one, files={}))) for one in part]
        handed.store.hand_over(batch, token, handed.spool, payloads)
    uploader = start_uploader(LOG_LEVEL="WARNING")
    handed.wait_for("done", ids[0])
    started = time.monotonic()
    handed.wait_for("done", *ids, timeout=30)
    rate = len(ids) / (time.monotonic() - started)
    assert rate >= 500, f"{rate:.0f} jobs/s"
    wait_until(lambda: topic(audio / "bulk")["done"] == len(ids))
    assert uploader.stop() == 0


def test_a_name_of_any_number_of_parts_is_stored(handed: Handed, start_uploader: Start, audio: Path) -> None:
    names = ("one", "two/parts", "a/name/of/five/parts")
    for name in names:
        handed.hand_over(f"id {name}", name)
    start_uploader()
    handed.wait_for("done", *(f"id {name}" for name in names))
    for name in names:
        assert (audio / name / "best.wav").read_bytes() == FILES["best.wav"]


def test_as_many_uploads_at_once_as_may_be_set_find_a_connection_each(handed: Handed, start_uploader: Start) -> None:
    ids = [f"show:{number:03d}" for number in range(150)]
    for one in ids:
        handed.hand_over(one, files={"take_01.wav": b"x"})
    uploader = start_uploader(UPLOADER_THREADS=64, UPLOADER_BATCH=500)
    handed.wait_for("done", *ids, timeout=30)
    wait_until(lambda: handed.uploads() == 0)
    assert uploader.stop() == 0
    assert [line for line in uploader.lines() if line["level"] != "info"] == []


def test_a_torn_summary_is_kept_aside_and_rebuilt(handed: Handed, start_uploader: Start, audio: Path) -> None:
    for name in ("a", "b", "c"):
        handed.hand_over(f"show:{name}")
    first = start_uploader()
    handed.wait_for("done", "show:a", "show:b", "show:c")
    assert first.stop() == 0
    text = (audio / "show/job.json").read_text()
    torn = text[: text.index('"show:b"') + 30]  # "a" is whole, "b" is torn, "c" is gone
    (audio / "show/job.json").write_text(torn)
    handed.hand_over("show:d")
    second = start_uploader()
    handed.wait_for("done", "show:d")
    wait_until(lambda: set(beats(audio / "show")) == {"show:a", "show:b", "show:c", "show:d"})
    assert topic(audio / "show")["done"] == 4
    (aside,) = (audio / "show").glob("job.json.broken-*")
    assert aside.read_text() == torn
    assert second.said("unreadable job.json: kept aside and rebuilt")


def test_bad_settings_end_the_start_with_one_line_each(handed: Handed, start_uploader: Start, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    wrong: list[tuple[dict[str, object], str]] = [
        ({"UPLOADER_DISK_DIR": "/proc/none/audio"}, "/proc/none"),
        ({"UPLOADER_DISK_DIR": file / "below"}, str(file)),
        ({"UPLOADER_LEASE_MS": "soon", "UPLOADER_THREADS": 0}, "UPLOADER_LEASE_MS"),
        ({"UPLOADER_SINK": "s3"}, "S3_BUCKET"),
        ({"REDIS_URL": "http://nowhere"}, "REDIS_URL"),
        ({"SPOOL_DIR": file}, str(file)),
    ]
    for uploader, settings, said in [(start_uploader(**settings), settings, said) for settings, said in wrong]:
        assert uploader.wait(30) == 2
        text = uploader.log.read_text()
        assert said in text
        assert "Traceback" not in text
        assert len(text.splitlines()) == (2 if "UPLOADER_THREADS" in settings else 1), text


def test_a_second_uploader_of_the_same_name_refuses_to_start(handed: Handed, start_uploader: Start) -> None:
    first = start_uploader()
    wait_until(lambda: first.said("uploader starts"))
    second = start_uploader()
    assert second.wait() == 2
    assert "set WORKER_NAME" in second.log.read_text()
    assert first.process is not None
    assert first.process.poll() is None
