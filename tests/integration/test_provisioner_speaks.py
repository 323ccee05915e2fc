"""The provisioner on a real queue with the real executor: what becomes of each job of a batch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lib.jobqueue.records import failed_record
from tests.support.provisioners import Provisioned, alive
from tests.support.wait import wait_until


@pytest.fixture
def here(redis_url: str, tmp_path: Path) -> Iterator[Provisioned]:
    made = Provisioned(redis_url, tmp_path)
    yield made
    made.close()


def work_folders(here: Provisioned) -> list[str]:
    return [one.name for one in here.work.iterdir() if not one.name.startswith(".")]


def set_row(here: Provisioned, request_id: str, **fields: Any) -> None:
    here.client.hset(here.store.keys.index, request_id, json.dumps({**here.row(request_id), **fields}))


def test_a_batch_is_spoken_spooled_and_handed_over_by_the_program(here: Provisioned) -> None:
    _, ids = here.batch("ok one", "ok two", variants=2, select_best=True, callback_data={"n": 2**60 + 1, "e": []})
    with here.provisioner() as program:
        here.wait_for("uploading", *ids)
        here.wait_batches_gone()
        wait_until(lambda: not work_folders(here), what="the work folder is empty")
        assert program.stop() == 0
    payload = here.uploads()[ids[0]]
    assert sorted(here.uploads()) == sorted(ids)
    assert payload["output_name"] == "topic/beat-001"
    assert payload["callback_data"] == {"n": 2**60 + 1, "e": []}
    assert payload["result"]["audio_seconds"] == 0.25
    assert payload["result"]["selection"]["why"] == "the only one"
    assert payload["box"] == {"executor": "local", "id": "tests/provisioner-1", "price_per_hour": 0.0}
    assert payload["run_id"].startswith("run-")
    assert payload["timings"]["seconds"] > 0
    assert [one["role"] for one in payload["files"]] == ["take", "take", "best", "meta", "text"]
    for file in payload["files"]:
        data = (here.spool_dir / payload["folder"] / file["path"]).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (file["size"], file["sha256"])
    assert (here.spool_dir / payload["folder"] / "text.txt").read_text() == "ok one"


def test_the_real_voice_synth_passes_every_check(here: Provisioned) -> None:
    text = "Guten Morgen, die Züge fahren heute wieder nach Plan."
    _, ids = here.batch(text, voice=None, speaker="ryan", language="German", variants=2, select_best=True)
    with here.slots(VOICE_SYNTH_BIN="", VOICE_SYNTH_ENGINE="espeak"):
        here.wait_for("uploading", *ids, timeout=60)
    payload = here.uploads()[ids[0]]
    assert payload["result"]["engine"] == "espeak"
    assert payload["result"]["audio_seconds"] > 1


def test_a_finished_job_is_here_before_the_batch_ends(here: Provisioned) -> None:
    _, ids = here.batch("ok first", "wait go second")
    with here.slots() as running:
        here.wait_for("uploading", ids[0])
        here.wait_for("speaking", ids[1])
        assert running.metric("jobrunner_jobs_left_batch_total", outcome="handed_over") == 1
        here.allow("go")
        here.wait_for("uploading", ids[1])


def test_the_next_batch_is_on_the_box_and_begins_when_the_current_one_ends(here: Provisioned) -> None:
    _, first = here.batch("wait go first")
    second_id, second = here.batch("wait go second")
    with here.slots():
        here.wait_for("speaking", *first)
        wait_until(lambda: (here.work / second_id / "manifest.json").exists(), what="the next batch is compiled")
        assert here.state(second[0]) == "dispatched"
        here.allow("go")
        here.wait_for("uploading", *first, *second)


def test_two_slots_speak_at_the_same_time(here: Provisioned) -> None:
    batches = [here.batch("wait go") for _ in range(2)]
    ids = [ids[0] for _, ids in batches]
    with here.slots(PROVISIONER_SLOTS=2):
        here.wait_for("speaking", *ids)
        here.allow("go")
        here.wait_for("uploading", *ids)


def test_a_job_that_cannot_be_compiled_fails_alone_with_its_original_spec(here: Provisioned) -> None:
    batch_id, ids = here.batch("ok", "ok")
    here.client.hset(here.store.keys.specs, ids[0], '{"output_name": "../up", "text": " ", "callback_data": {"a": []}}')
    with here.slots():
        here.wait_for("failed", ids[0])
        here.wait_for("uploading", ids[1])
    record = here.record(ids[0])
    assert (record["error_type"], record["stage"], record["attempt"]) == ("invalid_job", "speech", 1)
    assert record["job"] == {"output_name": "../up", "text": " ", "callback_data": {"a": []}}
    assert "output_name" in record["error"]
    assert batch_id not in work_folders(here)


def test_a_stored_spec_that_is_no_json_fails_with_the_raw_text(here: Provisioned) -> None:
    _, ids = here.batch("ok")
    here.client.hset(here.store.keys.specs, ids[0], "{torn")
    with here.slots():
        here.wait_for("failed", ids[0])
        here.wait_batches_gone()
    assert here.record(ids[0])["job"] == "{torn"


def test_two_jobs_with_one_output_name_do_not_meet_in_one_folder(here: Provisioned) -> None:
    ids = [here.enqueue("ok", output_name="same/place", request_id=one) for one in ("a", "b")]
    here.dispatch(*ids)
    with here.slots():
        here.wait_for("uploading", "a")
        here.wait_for("queued", "b")
    assert here.row("b")["alone"] == 1
    assert (here.row("b").get("lost", 0), here.row("b")["attempt"]) == (0, 0)


def test_a_permanent_failure_is_recorded_at_once_without_control_characters(here: Provisioned) -> None:
    _, ids = here.batch("permanent unspeakable_text", "ok")
    with here.slots() as running:
        here.wait_for("failed", ids[0])
        here.wait_for("uploading", ids[1])
        assert running.metric("jobrunner_job_failures_total", error_type="unspeakable_text") == 1
    record = here.record(ids[0])
    assert record["error_type"] == "unspeakable_text"
    assert record["error"] == "it [31mfailed"
    assert record["job"]["text"] == "permanent unspeakable_text"
    assert record["run_id"].startswith("run-")


@pytest.mark.parametrize(("text", "reason"), [("transient engine_failed", "engine_failed"), ("gone", "signal")])
def test_what_may_pass_is_tried_again_later_and_costs_an_attempt(here: Provisioned, text: str, reason: str) -> None:
    _, ids = here.batch(text)
    with here.slots():
        here.wait_for("retrying", *ids)
    row = here.row(ids[0])
    assert (row["attempt"], row["reason"]) == (1, reason)


def test_the_last_attempt_ends_in_transient_exhausted(here: Provisioned) -> None:
    _, ids = here.batch("transient engine_failed")
    set_row(here, ids[0], attempt=2)
    with here.slots():
        here.wait_for("failed", *ids)
    record = here.record(ids[0])
    assert (record["error_type"], record["attempt"]) == ("transient_exhausted", 3)
    assert record["error"].startswith("engine_failed: ")


def test_a_box_without_room_costs_the_job_nothing(here: Provisioned) -> None:
    _, ids = here.batch("transient disk_full")
    with here.slots():
        here.wait_for("queued", *ids)
    assert (here.row(ids[0])["lost"], here.row(ids[0])["attempt"]) == (1, 0)


def test_a_voice_the_box_does_not_know_although_it_is_here_is_the_boxs_fault(here: Provisioned) -> None:
    _, known = here.batch("permanent unknown_voice", voice="newsroom")
    _, unknown = here.batch("permanent unknown_voice", voice="no-such-voice")
    with here.slots():
        here.wait_for("retrying", *known)
        here.wait_for("failed", *unknown)
    assert here.record(unknown[0])["error_type"] == "unknown_voice"


@pytest.mark.parametrize("deed", ["few_takes", "bad_seconds", "not_audio", "bad_text", "nan", "bad_voice"])
def test_what_is_not_as_ordered_is_another_attempt_and_never_reaches_the_spool(here: Provisioned, deed: str) -> None:
    _, ids = here.batch(f"{deed} x", variants=2)
    with here.slots():
        here.wait_for("retrying", *ids)
        here.wait_batches_gone()
    assert here.row(ids[0])["attempt"] == 1
    assert not [one for one in here.spool_folders() if not one.endswith(".spool-id")]


def test_a_cancelled_job_is_ended_while_it_is_spoken_and_the_others_go_on(here: Provisioned) -> None:
    _, ids = here.batch("wait never", "wait go", "wait never")
    record = json.dumps(failed_record(ids[0], status="cancelled", error_type="cancelled", stage="", error="", attempt=0,
                                      failed_at=0, job=None))  # fmt: skip
    with here.slots():
        here.wait_for("speaking", ids[0])
        spoken = wait_until(here.calls)
        assert here.store.cancel(ids[2], "", record) == "cancelled"
        assert here.store.cancel(ids[0], "", record) == "cancelled"
        wait_until(lambda: not alive(spoken[0][1]), what="its process is ended")
        here.allow("go")
        here.wait_for("uploading", ids[1])
        here.wait_batches_gone()
    assert [name for name, _, _ in here.calls()] == ["topic/beat-001", "topic/beat-002"]
    assert here.state(ids[0]) == here.state(ids[2]) == "cancelled"


def test_a_flush_ends_the_executor_and_leaves_nothing_behind(here: Provisioned) -> None:
    _, ids = here.batch("wait never")
    with here.slots():
        here.wait_for("speaking", *ids)
        (call,) = wait_until(here.calls)
        while here.store.flush_step():
            pass
        wait_until(lambda: not alive(call[1]) and not alive(call[2]), what="executor and voice-synth are ended")
        wait_until(lambda: not work_folders(here), what="the work folder is empty")
    assert here.look.results(ids) == [None]


def test_an_executor_that_died_is_started_again_and_nothing_is_spoken_twice(here: Provisioned) -> None:
    _, ids = here.batch("ok", "die once", "ok")
    with here.slots():
        wait_until(lambda: len(here.calls()) == 2)
        here.allow("once")
        here.wait_for("uploading", *ids)
    assert [name[-3:] for name, _, _ in here.calls()] == ["001", "002", "002", "003"]
    assert "crashes" not in here.row(ids[1])


def test_a_job_that_kills_its_executor_goes_on_alone_and_the_others_are_spoken(here: Provisioned) -> None:
    _, ids = here.batch("die never", "ok")
    with here.slots():
        here.wait_for("queued", ids[0])
        here.wait_for("uploading", ids[1])
        here.wait_batches_gone()
    row = here.row(ids[0])
    assert (row["crashes"], row["alone"], row["attempt"]) == (1, 1, 0)


def test_a_job_that_killed_its_executors_alone_is_poison(here: Provisioned) -> None:
    _, ids = here.batch("die never")
    set_row(here, ids[0], crashes=2)
    with here.slots():
        here.wait_for("failed", *ids)
        here.wait_batches_gone()
        wait_until(lambda: not any(alive(pid) for _, pid, _ in here.calls()), what="no voice-synth is left over")
    assert here.record(ids[0])["error_type"] == "poison"


def test_a_poisonous_job_that_is_claimed_alone_is_not_spoken_again(here: Provisioned) -> None:
    _, ids = here.batch("ok")
    set_row(here, ids[0], crashes=3)
    with here.slots():
        here.wait_for("failed", *ids)
    assert here.calls() == []


def test_a_batch_lost_too_often_is_split_into_single_jobs(here: Provisioned) -> None:
    batch_id, ids = here.batch("ok", "ok")
    key = here.store.keys.batches_index
    here.client.hset(key, batch_id, json.dumps({**json.loads(here.client.hget(key, batch_id)), "losses": 2}))
    with here.slots():
        here.wait_for("queued", *ids)
        here.wait_batches_gone()
    assert [here.row(one)["alone"] for one in ids] == [1, 1]


def test_foreign_entries_on_the_batches_stream_are_dropped_and_work_goes_on(here: Provisioned) -> None:
    stream = here.store.keys.batches_stream
    here.client.xadd(stream, {"hello": "world"})
    here.client.xadd(stream, {"batch_id": "../../etc", "header": "{}", "jobs": "[]"})
    here.client.xadd(stream, {"batch_id": "unknown", "header": "{}", "jobs": '["x"]'})
    _, ids = here.batch("ok")
    with here.slots():
        here.wait_for("uploading", *ids)
        wait_until(lambda: here.client.xlen(stream) == 0, what="the stream is empty")


def test_nothing_is_leased_while_the_spool_has_no_room(here: Provisioned) -> None:
    _, ids = here.batch("ok")
    with here.slots(SPOOL_MIN_FREE_MB=10**9) as running:
        reason = wait_until(lambda: running.slots[0].paused)
        assert "SPOOL_MIN_FREE_MB=1000000000" in reason
        assert running.metric("jobrunner_leasing_paused") == 1
    assert here.state(ids[0]) == "dispatched"


def test_nothing_is_leased_while_voice_synth_does_not_run(here: Provisioned) -> None:
    _, ids = here.batch("ok")
    with here.slots(VOICE_SYNTH_BIN=here.folder / "missing") as running:
        reason = wait_until(lambda: running.slots[0].paused)
        assert "voice-synth does not run" in reason
    assert here.state(ids[0]) == "dispatched"


def test_an_executor_that_never_begins_gives_the_batch_back_and_waits_a_while(here: Provisioned) -> None:
    _, ids = here.batch("ok")
    broken = here.folder / "works-once"
    broken.write_text(f'#!/bin/sh\nrm -f "{broken}"\nexit 0\n')
    broken.chmod(0o755)
    with here.slots(VOICE_SYNTH_BIN=broken) as running:
        here.wait_for("queued", *ids)
        here.wait_batches_gone()
        wait_until(lambda: running.slots[0].paused == "the last batch could not be spoken here")
    assert (here.row(ids[0])["lost"], here.row(ids[0])["attempt"]) == (1, 0)


def test_the_null_executor_reports_every_job_done_without_files(here: Provisioned) -> None:
    _, ids = here.batch(*["ok"] * 50)
    with here.slots(PROVISIONER_EXECUTOR="null"):
        here.wait_for("uploading", *ids)
        here.wait_batches_gone()
    payload = here.uploads()[ids[0]]
    assert (payload["files"], payload["folder"], payload["result"]["audio_seconds"]) == ([], "", 0)
    assert here.calls() == []
