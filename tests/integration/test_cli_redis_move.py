"""`retry`, `cancel` and `flush` against a real Redis: asked for, atomic, and never more than was asked."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lib.jobqueue.store import JobStore
from tests.support.command import Ran, job_runner, job_runner_inside, job_runner_on_terminal
from tests.support.queue_line import LOCK, SPOOL, Line, content_hash
from tests.support.snapshot import unchanged

JOB = {"request_id": "a", "voice": "newsroom", "text": "Hi", "output_name": "a", "their_field": [1, {}]}


def failed_record(**more: Any) -> str:
    record = {"request_id": "a", "status": "failed", "error_type": "bad_voice", "error": "no\x1b[31m", "job": JOB}
    return json.dumps({**record, **more})


def fail(line: Line, **more: Any) -> None:
    """Leave a failed job `a` behind, with a row of ours."""
    line.failed("a")
    line.client.hset(line.keys.failed, "a", failed_record(**more))


def run(command: str, *arguments: str, url: str) -> Ran:
    return job_runner_inside(command, *arguments, "--redis-url", url)


@pytest.mark.both_redis
def test_retry_puts_a_failed_job_on_the_queue_with_fresh_attempts(line: Line, redis_url: str) -> None:
    fail(line)
    ran = job_runner("retry", "a", "--yes", "--json", "--redis-url", redis_url)
    assert ran.code == 0, ran
    assert {key: ran.json[key] for key in ("outcome", "was", "request_id")} == {
        "outcome": "queued",
        "was": "failed",
        "request_id": "a",
    }
    spec = json.loads(line.client.hget(line.keys.specs, "a"))
    assert (spec["attempt"], spec["their_field"], spec["text"]) == (0, [1, {}], "Hi")
    assert line.row("a")["hash"] == spec["content_hash"]
    line.check()


def test_retry_of_a_record_that_an_older_version_left_without_a_row(line: Line, redis_url: str) -> None:
    line.client.hset(line.keys.failed, "a", failed_record(job={**JOB, "request_id": None}))
    assert run("retry", "a", "--yes", url=redis_url).out == "a: was failed, queued again\n"
    line.check()


def test_a_cancelled_job_can_be_retried(line: Line, redis_url: str) -> None:
    line.store.enqueue([("a", content_hash("a"), json.dumps(JOB))])
    assert run("cancel", "a", "--yes", url=redis_url).out == "a: was queued, cancelled\n"
    line.check()
    assert run("retry", "a", "--yes", url=redis_url).out == "a: was cancelled, queued again\n"
    line.check()


@pytest.mark.parametrize(
    ("prepare", "told"),
    [
        (lambda line: line.done("a"), "is done already"),
        (lambda line: line.speaking("a"), "has not failed, it is speaking"),
        (lambda line: fail(line, job=None), "holds no job"),
        (lambda line: fail(line, job="{"), "holds no job"),
        (lambda line: fail(line, job={**JOB, "text": " "}), "text: is blank"),
        (lambda line: fail(line, job={**JOB, "request_id": "b"}), "about another request: b"),
    ],
)
def test_retry_of_what_cannot_be_retried_says_why_and_changes_nothing(
    line: Line, redis_url: str, prepare: Any, told: str
) -> None:
    prepare(line)
    with unchanged(line.client):
        ran = run("retry", "a", "--yes", url=redis_url)
    assert ran.code == 1
    assert told in ran.err


@pytest.mark.parametrize("command", ["retry", "cancel"])
def test_an_unknown_request_ends_with_4(line: Line, redis_url: str, command: str) -> None:
    line.enqueue("topic:beat-001")
    ran = run(command, "topic:beat-01", "--yes", url=redis_url)
    assert ran.code == 4
    assert "did you mean topic:beat-001?" in ran.err
    assert run(command, "topic:beat-01", "--yes", "--json", url=redis_url).json["error"]["type"] == "not_found"


def test_a_record_that_changes_while_it_is_read_is_read_once_more(
    line: Line, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(line)
    answers = []
    retry = JobStore.retry

    def racing(store: JobStore, request_id: str, *args: Any) -> str:
        if not answers:
            line.client.hset(line.keys.failed, "a", failed_record(error="newer"))
        answers.append(retry(store, request_id, *args))
        return answers[-1]

    monkeypatch.setattr(JobStore, "retry", racing)
    assert run("retry", "a", "--yes", url=redis_url).code == 0
    assert answers == ["changed", "queued"]
    line.check()


@pytest.mark.parametrize("command", [("retry", "a"), ("cancel", "a"), ("flush",), ("flush", "--hard")])
def test_without_a_terminal_and_without_yes_nothing_happens(
    line: Line, redis_url: str, command: tuple[str, ...]
) -> None:
    fail(line)
    with unchanged(line.client):
        ran = job_runner(*command, "--redis-url", redis_url)
    assert ran.code == 2
    assert "needs a yes" in ran.err
    assert "--yes" in ran.err


def test_on_a_terminal_only_a_yes_is_a_yes(line: Line, redis_url: str) -> None:
    fail(line)
    with unchanged(line.client):
        no = job_runner_on_terminal("retry", "a", "--redis-url", redis_url, answer="\n")
    assert no.code == 1
    assert "a is failed (bad_voice: no [31m). Queue it again? [y/N]" in no.out
    assert "nothing was changed" in no.out
    yes = job_runner_on_terminal("retry", "a", "--redis-url", redis_url, answer="y\n")
    assert yes.code == 0
    assert "queued again" in yes.out
    line.store.unlock(LOCK)
    refused = job_runner_on_terminal("retry", "a", "--redis-url", redis_url)
    assert (refused.code, "[y/N]" in refused.out) == (1, False)
    kept = job_runner_on_terminal("cancel", "a", "--redis-url", redis_url, answer="n\n")
    assert (kept.code, line.state("a")) == (1, "queued")
    assert "a is queued. Cancel it? [y/N]" in kept.out
    flushed = job_runner_on_terminal("flush", "--redis-url", redis_url, answer="yes\n")
    assert flushed.code == 0
    assert "This drops 1 outstanding jobs. Go on? [y/N]" in flushed.out
    assert line.client.xlen(line.keys.jobs_stream) == 0


@pytest.mark.both_redis
@pytest.mark.parametrize("state", ["queued", "speaking", "storing", "retrying"])
def test_cancel_settles_a_job_wherever_it_is(line: Line, redis_url: str, state: str) -> None:
    getattr(line, state)("a")
    ran = run("cancel", "a", "--yes", "--json", url=redis_url)
    assert ran.code == 0, ran
    assert ran.json["outcome"] == "cancelled"
    record = json.loads(line.client.hget(line.keys.failed, "a"))
    assert (record["status"], record["error_type"], record["stage"]) == ("cancelled", "cancelled", ran.json["was"])
    assert record["job"]["callback_data"] == {"empty": [], "n": 2**60 + 1}
    line.check()
    again = run("cancel", "a", "--yes", url=redis_url)
    assert (again.code, again.out) == (0, "a: was cancelled already\n")


def test_cancel_follows_a_job_that_moves_to_an_uploader_meanwhile(
    line: Line, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    line.speaking("a")
    answers = []
    cancel = JobStore.cancel

    def racing(store: JobStore, *args: str) -> str:
        if not answers:
            line.store.hand_over("batch-1", "b" * 32, SPOOL, [("a", "{}")])
        answers.append(cancel(store, *args))
        return answers[-1]

    monkeypatch.setattr(JobStore, "cancel", racing)
    assert run("cancel", "a", "--yes", url=redis_url).code == 0
    assert answers == ["moved", "cancelled"]
    line.check()


def test_cancel_of_what_has_ended_is_refused(line: Line, redis_url: str) -> None:
    line.done("a")
    line.client.hset(line.keys.index, "old", "queued")
    line.client.hset(line.keys.result, "old", '{"status": "done"}')
    with unchanged(line.client):
        for one in ("a", "old"):
            ran = run("cancel", one, "--yes", url=redis_url)
            assert ran.code == 1
            assert f"{one}: has ended already, it is done" in ran.err


@pytest.mark.parametrize("where", ["stream", "retry"])
def test_a_cancelled_job_of_an_older_version_keeps_its_spec(line: Line, redis_url: str, where: str) -> None:
    line.client.hset(line.keys.index, "a", "queued")
    if where == "stream":
        line.client.xadd(line.keys.jobs_stream, {"job": json.dumps(JOB)})
    else:
        line.client.zadd(line.keys.retry, {json.dumps({"request_id": "a", "job": JOB}): 4_000_000_000})
    assert run("cancel", "a", "--yes", url=redis_url).code == 0
    assert json.loads(line.client.hget(line.keys.failed, "a"))["job"] == JOB


def fill(line: Line) -> None:
    """A queue with something in every stage, final records, and what older versions left."""
    line.done("d1", "d2")
    line.failed("f1", batch_id="batch-2")
    line.storing("u", batch_id="batch-3")
    line.retrying("r", batch_id="batch-4")
    line.speaking("s", batch_id="batch-5")
    line.queued("q1", "q2")
    line.foreign("foreign")
    line.client.hset(line.keys.index, mapping={"old-queued": "queued", "old-done": "done", "old-both": "queued"})
    line.client.hset(line.keys.result, "old-both", '{"status": "done"}')
    line.client.zadd(line.keys.retry, {'{"request_id": "old-queued", "job": {}}': 1})
    line.client.hset(line.keys.specs, "left-over", "{}")


KEPT = ("watcher:lock", "watcher:heartbeat", "watcher:instance", "sweep:jobs:stream", "boxes:rows", "money:day")


def keep(line: Line) -> dict[str, Any]:
    """Write what no flush may touch; returns all of it as it is."""
    line.store.beat("provisioner/host-0")
    for name in KEPT[2:]:
        line.client.set(f"pab:{name}", "42")
    return {name: line.client.get(f"pab:{name}") for name in KEPT}


def groups(line: Line) -> list[str]:
    streams = (line.keys.jobs_stream, line.keys.batches_stream, line.keys.uploads_stream(SPOOL))
    return [row["name"] for stream in streams for row in line.client.xinfo_groups(stream)]


@pytest.mark.both_redis
def test_a_soft_flush_empties_the_queue_and_keeps_everything_else(line: Line, redis_url: str) -> None:
    fill(line)
    kept, history = keep(line), line.client.zrange(line.keys.history_done, 0, -1)
    line.client.delete(line.keys.watcher_lock)
    kept["watcher:lock"] = None
    ran = job_runner("flush", "--yes", "--json", "--redis-url", redis_url)
    assert ran.code == 0, ran
    assert ran.err == ""
    assert ran.json["hard"] is False
    assert ran.json["removed"]["stray_rows"] == 2
    assert sorted(line.client.hkeys(line.keys.index)) == ["d1", "d2", "f1", "old-both", "old-done"]
    assert sorted(line.client.hkeys(line.keys.result)) == ["d1", "d2", "old-both"]
    assert line.client.hkeys(line.keys.failed) == ["f1"]
    assert line.client.zrange(line.keys.history_done, 0, -1) == history
    for key in (
        line.keys.specs,
        line.keys.outstanding,
        line.keys.retry,
        line.keys.first_queued,
        line.keys.batches_index,
    ):
        assert not line.client.exists(key), key
    streams = (line.keys.jobs_stream, line.keys.batches_stream, line.keys.uploads_stream(SPOOL))
    assert [line.client.xlen(stream) for stream in streams] == [0, 0, 0]
    assert groups(line) == ["watchers", "provisioners", "uploaders"]
    assert {name: line.client.get(f"pab:{name}") for name in KEPT} == kept
    counters = {state: count for state, count in line.client.hgetall(line.keys.counters).items() if count != "0"}
    assert counters == {"done": "2", "failed": "1"}
    assert line.enqueue("q1") == ["queued"]
    line.client.hdel(line.keys.index, "old-both", "old-done")
    line.client.hdel(line.keys.result, "old-both")
    line.check()


@pytest.mark.both_redis
def test_a_hard_flush_forgets_records_history_and_counts_too(line: Line, redis_url: str) -> None:
    fill(line)
    kept = keep(line)
    ran = job_runner("flush", "--hard", "--yes", "--redis-url", redis_url)
    assert ran.code == 0, ran
    assert ran.err == "warning: a watcher is at work (watcher-1); what it has in hand is dropped\n"
    assert "flushed: 3 done and 1 failed records, and all counts" in ran.out
    left = {key.removeprefix("pab:") for key in line.client.scan_iter()}
    streams = {"jobs:stream", "batches:stream", f"uploads:{SPOOL}"}
    assert left == {*KEPT, *streams, "uploads:spools", "workers:alive"}
    assert groups(line) == ["watchers", "provisioners", "uploaders"]
    assert {name: line.client.get(f"pab:{name}") for name in KEPT} == kept
    line.check()


def test_a_flush_beside_a_live_watcher_needs_yes_even_on_a_terminal(line: Line, redis_url: str) -> None:
    line.enqueue("a")
    line.store.lock(LOCK, 60_000, "{}")
    with unchanged(line.client):
        ran = job_runner_on_terminal("flush", "--redis-url", redis_url, answer="y\n")
    assert ran.code == 1
    assert "a watcher is at work (watcher-1 holds the lock)" in ran.out
    assert run("flush", "--yes", url=redis_url).code == 0


def test_holders_of_flushed_jobs_can_change_nothing_and_learn_of_it(line: Line, redis_url: str) -> None:
    line.speaking("a")
    assert run("flush", "--yes", url=redis_url).code == 0
    assert line.store.start_jobs("batch-1", "b" * 32, ["a"]) == [False]
    assert line.store.hand_over("batch-1", "b" * 32, SPOOL, [("a", "{}")]) == ["stale"]
    line.check()


def test_a_job_accepted_in_the_middle_of_a_hard_flush_is_dropped_whole_not_torn(
    line: Line, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    line.done("d")
    arrivals = iter(["late-1", "late-2"])
    flush_hard = JobStore.flush_hard
    answers = []

    def racing(store: JobStore) -> Any:
        for late in arrivals:
            line.enqueue(late)
            break
        answers.append(flush_hard(store))
        return answers[-1]

    monkeypatch.setattr(JobStore, "flush_hard", racing)
    assert run("flush", "--hard", "--yes", url=redis_url).code == 0
    assert answers == [None, None, (1, 0)]
    line.check()


def test_a_flush_goes_on_past_a_page_of_stale_outstanding_ids(line: Line) -> None:
    """What only looks outstanding must not make a step look like the last one."""
    line.client.zadd(line.keys.outstanding, {f"ghost-{n}": n for n in range(600)})
    line.enqueue("a")
    while line.store.flush_step(100):
        pass
    assert not line.client.exists(line.keys.outstanding)
    assert line.client.hlen(line.keys.index) == 0


def test_a_flush_of_a_large_queue_walks_in_bounded_steps(line: Line, redis_url: str) -> None:
    line.store.enqueue([(f"job-{n}", "sha256:x", "{}") for n in range(2500)])
    line.client.hset(line.keys.index, mapping={f"old-{n}": "queued" for n in range(1200)})
    line.client.config_resetstat()
    ran = run("flush", "--yes", "--json", url=redis_url)
    assert ran.json["removed"] == {"queue_items": 5000, "stray_rows": 1200, "done_records": 0, "failed_records": 0}
    assert line.client.info("commandstats")["cmdstat_evalsha"]["calls"] >= 6
    assert line.client.hlen(line.keys.index) == 0
    assert run("flush", "--yes", "--json", url=redis_url).json["removed"]["queue_items"] == 0
