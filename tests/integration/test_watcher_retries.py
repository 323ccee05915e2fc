"""A running watcher puts due retries back, ours and those an older version wrote, and never the same twice."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from lib.jobqueue.look import Look
from lib.jobqueue.store import Holder, JobStore
from tests.support.wait import wait_until
from tests.support.watchers import RunningWatcher, batches, dispatched, enqueue, slots, spec

NOW = 1.0  # unix seconds: long due


@pytest.fixture
def store(redis_url: str) -> Iterator[JobStore]:
    one = JobStore.connect(redis_url)
    yield one
    one.client.close()


def fail_once(store: JobStore, delay_ms: int) -> None:
    """Let the jobs of the one batch there is fail for a reason that may pass."""
    slot = store.batches_stream("host/provisioner-1")
    slot.ensure()
    slot.read(1, 0)
    [batch] = batches(store)
    assert store.claim_batch(batch, "host/provisioner-1", "token") is not None
    jobs = [(request_id, batch.batch_id, delay_ms, "busy") for request_id in batch.request_ids]
    assert all(store.retry_later(Holder("batch", "token"), jobs))
    store.finish_batch(batch.batch_id, "token")


@pytest.mark.both_redis
def test_a_due_retry_is_dispatched_again_with_its_attempt_counted(redis_url: str, store: JobStore) -> None:
    with RunningWatcher(redis_url).leading() as watcher:
        enqueue(store, [spec(1)])
        wait_until(lambda: batches(store))
        fail_once(store, 200)
        assert batches(store) == []
        wait_until(lambda: dispatched(store) == ["topic:beat-001"])
        assert (Look(store).row("topic:beat-001") or {})["attempt"] == 1
        assert watcher.metric("jobrunner_retries_promoted_total") == 1
        assert store.client.zcard(store.keys.retry) == 0


def test_a_retry_that_is_not_due_stays(redis_url: str, store: JobStore) -> None:
    with RunningWatcher(redis_url).leading() as watcher:
        enqueue(store, [spec(1)])
        wait_until(lambda: batches(store))
        fail_once(store, 3_600_000)
        enqueue(store, [spec(2)])
        wait_until(lambda: dispatched(store) == ["topic:beat-002"])
        assert watcher.metric("jobrunner_retries_promoted_total") == 0
        assert store.client.zcard(store.keys.retry) == 1


def test_more_due_retries_than_a_page_are_all_put_back(redis_url: str, store: JobStore) -> None:
    slots(store, 100)
    members = {json.dumps({"request_id": f"topic:beat-{n:03d}", "job": spec(n)}): NOW for n in range(600)}
    store.client.zadd(store.keys.retry, members)
    with RunningWatcher(redis_url).leading():
        wait_until(lambda: len(dispatched(store)) == 600, timeout=20)


@pytest.mark.parametrize("as_text", [False, True])
def test_members_of_an_older_version_are_understood(redis_url: str, store: JobStore, as_text: bool) -> None:
    job = json.dumps(spec(1)) if as_text else spec(1)
    store.client.zadd(store.keys.retry, {json.dumps({"request_id": "topic:beat-001", "job": job}): NOW})
    store.client.hset(store.keys.index, "topic:beat-001", "queued")
    with RunningWatcher(redis_url).leading():
        wait_until(lambda: dispatched(store) == ["topic:beat-001"])
        assert (Look(store).row("topic:beat-001") or {})["state"] == "dispatched"


def test_an_older_member_whose_job_is_done_is_dropped(redis_url: str, store: JobStore) -> None:
    store.client.zadd(store.keys.retry, {json.dumps({"request_id": "topic:beat-001", "job": spec(1)}): NOW})
    store.client.hset(store.keys.result, "topic:beat-001", '{"status": "done"}')
    with RunningWatcher(redis_url).leading():
        wait_until(lambda: store.client.zcard(store.keys.retry) == 0)
        enqueue(store, [spec(2)])
        wait_until(lambda: dispatched(store) == ["topic:beat-002"])


@pytest.mark.parametrize(
    "member", ["topic:beat-001", '{"request_id": "topic:beat-001"}', "{not json", b"not utf-8 \xff\xfe"]
)
def test_a_member_without_any_spec_fails_and_says_so(redis_url: str, store: JobStore, member: str | bytes) -> None:
    store.client.zadd(store.keys.retry, {member: NOW})
    with RunningWatcher(redis_url).leading():
        wait_until(lambda: store.client.hlen(store.keys.failed) == 1)
        assert store.client.zcard(store.keys.retry) == 0
    [record] = store.client.hvals(store.keys.failed)
    assert json.loads(record)["error_type"] == "spec_lost"
    assert Look(store).counts()[0]["failed"] == 1


def test_a_member_whose_job_is_no_job_ends_as_a_failed_record(redis_url: str, store: JobStore) -> None:
    member = json.dumps({"request_id": "topic:beat-001", "job": {"request_id": "topic:beat-001", "text": 5}})
    store.client.zadd(store.keys.retry, {member: NOW})
    with RunningWatcher(redis_url).leading():
        raw = wait_until(lambda: Look(store).raw_failed("topic:beat-001"))
    assert json.loads(raw)["error_type"] == "invalid_job"
    assert store.client.xlen(store.keys.jobs_stream) == 0


def test_a_job_that_waits_for_its_retry_fills_no_batch_and_starts_none(redis_url: str, store: JobStore) -> None:
    with RunningWatcher(redis_url, watcher_batch_min=2, watcher_batch_max_wait=3600).leading() as watcher:
        enqueue(store, [spec(1), spec(2)])
        wait_until(lambda: batches(store))
        fail_once(store, 3_600_000)
        wait_until(lambda: watcher.pulse.reason == "idle")
        enqueue(store, [spec(3)])
        wait_until(lambda: watcher.pulse.reason == "waiting_for_batch")
        assert batches(store) == []
        enqueue(store, [spec(4)])
        wait_until(lambda: dispatched(store) == ["topic:beat-003", "topic:beat-004"])
