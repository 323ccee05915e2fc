"""The provisioner killed, stopped, paused, overtaken, cut off from Redis: nothing is lost, nothing is spoken twice."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lib.jobqueue.messages import BatchMessage
from lib.jobqueue.store import new_token
from provisioner.local import lock_holder
from tests.support.provisioners import Provisioned, alive
from tests.support.redis_server import RedisServer
from tests.support.wait import wait_until


@pytest.fixture
def here(redis_url: str, tmp_path: Path) -> Iterator[Provisioned]:
    made = Provisioned(redis_url, tmp_path)
    yield made
    made.close()


def spoken(here: Provisioned) -> list[str]:
    return [name[-3:] for name, _, _ in here.calls()]


def batch_row(here: Provisioned, batch_id: str) -> dict[str, object]:
    return dict(json.loads(here.client.hget(here.store.keys.batches_index, batch_id)))


def test_after_a_sigkill_the_executor_goes_on_and_is_adopted(here: Provisioned) -> None:
    _, ids = here.batch("ok", "wait go", "ok")
    program = here.provisioner().start()
    here.wait_for("speaking", ids[1])
    executor = here.wait_spoken(2)[-1][2]
    program.kill()
    assert alive(executor)
    with here.provisioner() as again:
        wait_until(lambda: again.said("batch claimed")[1:])
        assert again.said("batch claimed")[1]["traces"] == "alive"
        here.allow("go")
        here.wait_for("uploading", *ids)
        here.wait_batches_gone()
    assert spoken(here) == ["001", "002", "003"]
    assert {parent for _, _, parent in here.calls()} == {executor}
    rows = [here.row(one) for one in ids]
    assert [(row.get("lost"), row.get("crashes"), row["attempt"]) for row in rows] == [(None, None, 0)] * 3


def test_a_sigkill_costs_the_batch_that_waited_on_the_box_nothing(here: Provisioned) -> None:
    _, first = here.batch("wait go")
    next_id, second = here.batch("ok")
    with here.provisioner() as program:
        here.wait_for("speaking", *first)
        wait_until(lambda: (here.work / next_id / "manifest.json").exists())
        program.kill()
    here.allow("go")
    with here.provisioner() as again:
        here.wait_for("uploading", *first, *second)
        assert [line["losses"] for line in again.said("batch claimed")] == [0] * 4


def test_what_the_executor_finished_while_nobody_looked_is_collected_and_not_spoken_again(here: Provisioned) -> None:
    batch_id, ids = here.batch("wait go", "ok", "permanent unspeakable_text")
    program = here.provisioner().start()
    here.wait_for("speaking", ids[0])
    program.kill()
    here.allow("go")
    wait_until(lambda: (here.work / batch_id / "execution.json").exists(), what="the executor is through")
    wait_until(lambda: lock_holder(here.work / batch_id) is None)
    with here.provisioner():
        here.wait_for("uploading", *ids[:2])
        here.wait_for("failed", ids[2])
        here.wait_batches_gone()
    assert spoken(here) == ["001", "002", "003"]
    assert "crashes" not in here.row(ids[0])


def test_when_provisioner_and_executor_die_finished_work_is_kept_and_the_crash_is_counted(here: Provisioned) -> None:
    _, ids = here.batch("ok", "wait go", "ok")
    program = here.provisioner().start()
    here.wait_for("uploading", ids[0])
    here.wait_for("speaking", ids[1])
    _, voice, executor = here.wait_spoken(2)[-1]
    program.kill()
    signal_all(executor, voice)
    first = here.uploads()[ids[0]]
    here.allow("go")
    with here.provisioner():
        here.wait_for("uploading", *ids)
        here.wait_batches_gone()
    assert spoken(here) == ["001", "002", "002", "003"]
    assert here.row(ids[1])["crashes"] == 1
    assert here.uploads()[ids[0]] == first
    assert len(here.spool_folders()) == 3


def signal_all(*pids: int) -> None:
    import os

    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not any(alive(pid) for pid in pids))


def test_sigterm_lets_the_job_end_hands_the_rest_back_and_exits_0(here: Provisioned) -> None:
    batch_id, ids = here.batch("wait go", "wait never")
    next_id, following = here.batch("ok")
    with here.provisioner() as program:
        here.wait_for("speaking", ids[0])
        wait_until(lambda: len(program.said("batch claimed")) == 2)
        program.send(signal.SIGTERM)
        wait_until(lambda: batch_row(here, next_id)["token"] == "", what="the next batch is handed back at once")
        assert here.state(ids[0]) == "speaking"
        here.allow("go")
        assert program.process is not None
        assert program.process.wait(timeout=15) == 0
    assert here.state(ids[0]) == "uploading"
    assert [here.state(one) for one in (*ids[1:], *following)] == ["dispatched"] * 2
    assert batch_row(here, batch_id)["token"] == ""
    assert not any(alive(pid) for _, *pids in here.calls() for pid in pids)
    assert not list(here.work.glob("[!.]*"))
    here.allow("never")
    with here.provisioner() as again:
        here.wait_for("uploading", *ids, *following)
        assert [line["losses"] for line in again.said("batch claimed")] == [0] * 4


def test_sigterm_ends_a_job_that_does_not_and_counts_nothing(here: Provisioned) -> None:
    _, ids = here.batch("wait never")
    with here.provisioner(PROVISIONER_STOP_SECONDS=0.2) as program:
        here.wait_for("speaking", *ids)
        assert program.stop(timeout=15) == 0
    row = here.row(ids[0])
    assert (row["state"], row["attempt"], row.get("crashes"), row.get("lost")) == ("dispatched", 0, None, None)
    assert not any(alive(pid) for _, *pids in here.calls() for pid in pids)


def test_sigterm_without_redis_still_ends_everything_and_the_next_start_loses_nothing(
    make_redis: Callable[..., RedisServer], tmp_path: Path
) -> None:
    server = make_redis()
    here = Provisioned(server.url, tmp_path / "here")
    _, ids = here.batch("wait go")
    with here.provisioner(PROVISIONER_STOP_SECONDS=0.2) as program:
        here.wait_for("speaking", *ids)
        server.stop()
        assert program.stop(timeout=30) == 0
    assert not any(alive(pid) for _, *pids in here.calls() for pid in pids)
    server.start()
    here.allow("go")
    with here.provisioner():
        here.wait_for("uploading", *ids)
    assert "crashes" not in here.row(ids[0])
    here.close()


def test_a_restart_of_redis_is_waited_out_and_the_executor_never_notices(
    make_redis: Callable[..., RedisServer], tmp_path: Path
) -> None:
    server = make_redis()
    here = Provisioned(server.url, tmp_path / "here")
    _, ids = here.batch("wait go", "ok")
    with here.provisioner() as program:
        here.wait_for("speaking", ids[0])
        server.stop()
        wait_until(lambda: program.said("queue trouble, waiting"))
        server.start()
        wait_until(lambda: program.said("queue is back"), timeout=30)
        here.allow("go")
        here.wait_for("uploading", *ids)
        here.wait_batches_gone()
        assert len(program.said("queue trouble, waiting")) == 1
    assert spoken(here) == ["001", "002"]
    assert len({parent for _, _, parent in here.calls()}) == 1
    here.close()


def test_a_redis_that_answers_nothing_for_longer_than_a_lease_is_waited_out(
    make_redis: Callable[..., RedisServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provisioner.main.SLOT_TIMEOUT_SECONDS", 0.8)
    server = make_redis()
    here = Provisioned(server.url, tmp_path / "here")
    _, ids = here.batch("wait go", "ok")
    with here.slots(PROVISIONER_BATCH_LEASE_MS=1000) as running:
        here.wait_for("speaking", ids[0])
        server.pause()
        wait_until(lambda: running.metric("jobrunner_queue_errors_total", error_type="queue_unavailable") > 0)
        server.resume()
        here.allow("go")
        here.wait_for("uploading", *ids)
        here.wait_batches_gone()
    assert spoken(here) == ["001", "002"]
    assert len({parent for _, _, parent in here.calls()}) == 1
    here.close()


def take_over(here: Provisioned) -> str:
    """Be another host that finds the batch abandoned; returns the token."""
    stream = here.store.batches_stream("other/provisioner-1")
    stream.ensure()
    here.client.delete(here.store.keys.sweep(stream.name))
    # An idle time of 0 stands for the lease that has run out; the uptime of Redis is not of interest here.
    (entry,) = wait_until(lambda: stream.reclaim(0, 10, 1))
    token = new_token()
    assert here.store.claim_batch(BatchMessage.parse(entry), stream.consumer, token) is not None
    return token


def test_an_overtaken_provisioner_ends_its_executor_and_writes_nothing(here: Provisioned) -> None:
    batch_id, ids = here.batch("wait go")
    with here.provisioner() as program:
        here.wait_for("speaking", *ids)
        _, voice, executor = here.wait_spoken(1)[0]
        program.send(signal.SIGSTOP)
        token = take_over(here)
        here.allow("go")
        wait_until(lambda: (here.work / batch_id / "execution.json").exists())
        program.send(signal.SIGCONT)
        wait_until(lambda: [one for one in program.said("batch ended") if one["outcome"] == "lost"])
        wait_until(lambda: not list(here.work.glob("[!.]*")), what="the work folder is empty")
        assert not alive(executor)
        assert not alive(voice)
    assert batch_row(here, batch_id)["token"] == token
    assert here.state(ids[0]) == "dispatched"
    assert here.uploads() == {}
    assert here.spool_folders() == []


def test_a_batch_of_a_holder_that_fell_silent_is_taken_over(here: Provisioned) -> None:
    _, ids = here.batch("ok")
    stream = here.store.batches_stream("dead/provisioner-1")
    stream.ensure()
    (entry,) = stream.read(1, 0)
    message = BatchMessage.parse(entry)
    token = new_token()
    assert here.store.claim_batch(message, stream.consumer, token) is not None
    here.store.start_jobs(message.batch_id, token, ids)
    with here.slots(PROVISIONER_BATCH_LEASE_MS=1000):
        here.wait_for("uploading", *ids)
    assert here.row(ids[0])["crashes"] == 1


def test_the_executor_of_a_batch_that_was_settled_while_nobody_looked_is_ended_at_start(here: Provisioned) -> None:
    batch_id, ids = here.batch("wait never")
    program = here.provisioner().start()
    here.wait_for("speaking", *ids)
    _, voice, executor = here.wait_spoken(1)[0]
    program.kill()
    while here.store.flush_step():
        pass
    assert alive(executor)
    with here.provisioner():
        wait_until(lambda: not alive(executor) and not alive(voice), what="the stray executor is ended")
        wait_until(lambda: not (here.work / batch_id).exists())


def test_a_work_folder_of_another_live_provisioner_is_refused(here: Provisioned) -> None:
    with here.provisioner() as program:
        wait_until(lambda: program.said("provisioner is up"))
        second = here.provisioner(WORKER_NAME="second").start()
        assert second.process is not None
        assert second.process.wait(timeout=15) == 2
        assert "is another live provisioner's; give each one its own" in second.log.read_text()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("PROVISIONER_SLOTS", "0", "PROVISIONER_SLOTS: Input should be greater than or equal to 1"),
        ("WORKER_NAME", "a/b", "WORKER_NAME: Value error, use letters, digits"),
        ("REDIS_URL", "http://x", "REDIS_URL: "),
        ("REDIS_URL_FILE", "/dev/null/url", "REDIS_URL_FILE: /dev/null/url cannot be read"),
        ("SPOOL_DIR", "/dev/null/spool", "SPOOL_DIR: /dev/null/spool cannot be used"),
        ("PROVISIONER_WORK_DIR", "/dev/null/work", "PROVISIONER_WORK_DIR: /dev/null/work cannot be used"),
    ],
)
def test_a_bad_setting_is_one_clear_line_and_exit_code_2(here: Provisioned, name: str, value: str, said: str) -> None:
    program = here.provisioner(**{name: value}).start()
    assert program.process is not None
    assert program.process.wait(timeout=20) == 2
    lines = [line for line in program.log.read_text().splitlines() if not line.startswith("{")]
    assert len(lines) == 1
    assert lines[0].startswith(f"provisioner: {said}")


def test_a_refused_login_is_one_clear_line_and_exit_code_2(
    make_redis: Callable[..., RedisServer], tmp_path: Path
) -> None:
    server = make_redis(requirepass="sesame")
    here = Provisioned(server.url, tmp_path / "here")
    program = here.provisioner(REDIS_URL=server.url.replace(":sesame@", "")).start()
    assert program.process is not None
    assert program.process.wait(timeout=20) == 2
    assert program.log.read_text().startswith("provisioner: Redis refuses")
    here.close()
