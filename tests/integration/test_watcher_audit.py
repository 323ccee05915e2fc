"""The audit of a running watcher: what lost its carrier is put back, what nobody leases is leased, the rest is left."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from lib.jobqueue.look import Look
from lib.jobqueue.messages import BatchMessage
from lib.jobqueue.store import JobStore
from tests.support.wait import wait_until
from tests.support.watchers import (
    RunningWatcher,
    batches,
    dispatched,
    enqueue,
    pending_of,
    run_through,
    slots,
    spec,
)


@pytest.fixture
def store(redis_url: str) -> Iterator[JobStore]:
    one = JobStore.connect(redis_url)
    yield one
    one.client.close()


def add(store: JobStore, job: object) -> str:
    """What another program does: XADD, and no row."""
    text = job.encode("utf-8", "surrogateescape") if isinstance(job, str) else json.dumps(job)
    return str(store.client.xadd(store.keys.jobs_stream, {"job": text}))


class TestForeignEntries:
    def test_a_job_of_another_program_is_adopted_and_goes_its_way(self, redis_url: str, store: JobStore) -> None:
        with RunningWatcher(redis_url).leading() as watcher:
            entry = add(store, {**spec(1), "mystery": []})
            wait_until(lambda: dispatched(store) == ["topic:beat-001"])
            row = Look(store).row("topic:beat-001")
            assert row is not None
            assert (row["state"], row["entry"]) == ("dispatched", entry)
            assert json.loads(Look(store).spec("topic:beat-001") or "")["mystery"] == []
            assert Look(store).counts()[0]["dispatched"] == 1
            assert watcher.metric("jobrunner_entries_admitted_total", outcome="held") == 1

    @pytest.mark.both_redis
    def test_one_poisonous_entry_stops_nobody(self, redis_url: str, store: JobStore) -> None:
        poison = [
            "",
            "{",
            "[]",
            json.dumps(spec(7, voice=None)),
            '{"request_id": "topic:beat-008"}',
            json.dumps(spec(9))[:-1] + ', "more": "\udcff"}',
        ]
        with RunningWatcher(redis_url).leading() as watcher:
            entries = [add(store, text) for text in poison]
            entries.append(str(store.client.xadd(store.keys.jobs_stream, {"other": "field"})))
            good = enqueue(store, [spec(1), spec(2)])
            wait_until(lambda: sorted(dispatched(store)) == sorted(good))
            records = [
                Look(store).result(key) for key in (*entries[:3], "topic:beat-007", "topic:beat-008", *entries[5:])
            ]
            assert watcher.metric("jobrunner_entries_admitted_total", outcome="rejected") == 7
        for record in records:
            assert record is not None
            assert (record["status"], record["error_type"], record["stage"]) == ("failed", "invalid_job", "watcher")
        assert [record["job"] for record in records if record] == [*poison, {"other": "field"}]
        assert store.client.xlen(store.keys.jobs_stream) == 2
        assert Look(store).counts()[0]["failed"] == 7

    def test_a_second_entry_of_a_known_request_is_removed(self, redis_url: str, store: JobStore) -> None:
        with RunningWatcher(redis_url).leading() as watcher:
            enqueue(store, [spec(1)])
            wait_until(lambda: dispatched(store))
            add(store, spec(1))
            wait_until(lambda: watcher.metric("jobrunner_entries_admitted_total", outcome="superseded") == 1)
            assert store.client.xlen(store.keys.jobs_stream) == 1
            wait_until(lambda: run_through(store))
            add(store, spec(1, text="again"))
            wait_until(lambda: watcher.metric("jobrunner_entries_admitted_total", outcome="superseded") == 2)
        assert store.client.xlen(store.keys.jobs_stream) == 0
        assert dispatched(store) == []


class TestCarriers:
    def test_a_held_job_whose_entry_vanished_is_put_back(self, redis_url: str, store: JobStore) -> None:
        with RunningWatcher(redis_url, watcher_batch_min=10, watcher_batch_max_wait=600).leading() as watcher:
            enqueue(store, [spec(1)])
            wait_until(lambda: watcher.held.undispatched == 1)
            [entry] = watcher.held.known()
            store.client.xdel(store.keys.jobs_stream, entry)
            wait_until(lambda: watcher.metric("jobrunner_audit_repairs_total", state="queued") == 1)
            wait_until(lambda: watcher.held.known() not in ({entry}, {}) and store.client.xlen("pab:jobs:stream") == 1)

    def test_jobs_of_a_batch_that_vanished_are_dispatched_again(self, redis_url: str, store: JobStore) -> None:
        with RunningWatcher(redis_url).leading() as watcher:
            ids = enqueue(store, [spec(1), spec(2)])
            [batch] = wait_until(lambda: len(dispatched(store)) == 2 and batches(store))
            store.client.xdel(store.keys.batches_stream, batch.entry)
            [again] = wait_until(lambda: len(dispatched(store)) == 2 and batches(store))
            assert again.batch_id != batch.batch_id
            assert sorted(again.request_ids) == sorted(ids)
            assert watcher.metric("jobrunner_audit_repairs_total", state="dispatched") == 2
            wait_until(lambda: store.client.hkeys(store.keys.batches_index) == [again.batch_id])

    def test_a_job_whose_spec_is_gone_with_its_carrier_fails_and_says_so(self, redis_url: str, store: JobStore) -> None:
        with RunningWatcher(redis_url).leading():
            enqueue(store, [spec(1)])
            [batch] = wait_until(lambda: batches(store))
            store.client.hdel(store.keys.specs, "topic:beat-001")
            store.client.xdel(store.keys.batches_stream, batch.entry)
            record = wait_until(lambda: Look(store).raw_failed("topic:beat-001"))
        assert (json.loads(record)["error_type"], json.loads(record)["stage"]) == ("spec_lost", "watcher")
        assert store.client.xlen(store.keys.jobs_stream) == 0
        assert store.client.zcard(store.keys.outstanding) == 0

    @pytest.mark.both_redis
    def test_an_entry_acknowledged_by_hand_is_leased_again(self, redis_url: str, store: JobStore) -> None:
        with RunningWatcher(redis_url, watcher_batch_min=10, watcher_batch_max_wait=600).leading() as watcher:
            enqueue(store, [spec(1)])
            wait_until(lambda: watcher.held.undispatched == 1)
            [entry] = watcher.held.known()
            store.client.xack(store.keys.jobs_stream, "watchers", entry)
            watcher.renewer.poke()
            wait_until(lambda: pending_of(store, "one/watcher-0") == [entry] and watcher.held.undispatched == 1)

    @pytest.mark.both_redis
    def test_entries_that_the_group_had_skipped_are_leased(self, redis_url: str, store: JobStore) -> None:
        enqueue(store, [spec(1), spec(2)])
        store.client.xgroup_create(store.keys.jobs_stream, "watchers", id="$")
        with RunningWatcher(redis_url).leading():
            wait_until(lambda: len(dispatched(store)) == 2)
            assert len(pending_of(store, "one/watcher-0")) == 2

    def test_entries_an_older_version_had_acknowledged_but_not_deleted_are_removed(
        self, redis_url: str, store: JobStore
    ) -> None:
        entry = add(store, spec(1))
        store.client.hset(store.keys.result, "topic:beat-001", '{"status": "done"}')
        store.client.xgroup_create(store.keys.jobs_stream, "watchers", id="0")
        store.client.xreadgroup("watchers", "old", {store.keys.jobs_stream: ">"})
        store.client.xack(store.keys.jobs_stream, "watchers", entry)
        with RunningWatcher(redis_url).leading():
            wait_until(lambda: store.client.xlen(store.keys.jobs_stream) == 0)
            assert batches(store) == []

    def test_a_row_that_vanished_under_a_dispatched_job_is_made_again(self, redis_url: str, store: JobStore) -> None:
        with RunningWatcher(redis_url).leading():
            enqueue(store, [spec(1)])
            wait_until(lambda: batches(store))
            store.client.hdel(store.keys.index, "topic:beat-001")
            row = wait_until(lambda: Look(store).row("topic:beat-001"))
            assert row["state"] in ("queued", "dispatched")
            wait_until(lambda: len(batches(store)) == 2)

    def test_a_backlog_larger_than_a_window_of_the_audit_is_seen_to_its_end(
        self, redis_url: str, store: JobStore
    ) -> None:
        ids = enqueue(store, [spec(number) for number in range(600)])
        store.client.hdel(store.keys.specs, ids[599])
        last = store.client.xrevrange(store.keys.jobs_stream, count=1)[0][0]
        store.client.xdel(store.keys.jobs_stream, last)
        with RunningWatcher(redis_url).leading():
            wait_until(lambda: Look(store).raw_failed(ids[599]), timeout=20)
        assert Look(store).counts()[0]["failed"] == 1


def test_an_upload_on_a_spool_that_appeared_during_the_audit_is_left_alone(store: JobStore) -> None:
    enqueue(store, [spec(1)])
    stream = store.jobs_stream("one/watcher-0")
    stream.ensure()
    [entry] = stream.read(1, 0)
    store.lock("one/watcher-0 token", 10_000, "{}")
    assert store.dispatch("one/watcher-0 token", "b-1", "{}", [("topic:beat-001", entry.id)]) == []
    slot = store.batches_stream("host/provisioner-1")
    slot.ensure()
    [message] = slot.read(1, 0)
    store.claim_batch(BatchMessage.parse(message), "host/provisioner-1", "t")
    store.hand_over("b-1", "t", "new", [("topic:beat-001", "{}")])
    spools = store.client.smembers(store.keys.spools)
    store.client.delete(store.keys.spools)  # what an audit knows that asked a moment earlier
    assert store.audit(0, 10) == (1, [])
    store.client.sadd(store.keys.spools, *spools)
    assert store.audit(0, 10) == (1, [])
    row = json.loads(store.client.hget(store.keys.index, "topic:beat-001"))
    store.client.hset(store.keys.index, "topic:beat-001", json.dumps({**row, "handed_ms": row["handed_ms"] - 61_000}))
    store.client.delete(store.keys.spools)
    assert store.audit(0, 10) == (1, [("topic:beat-001", "uploading")])


def uploading(store: JobStore, spool: str) -> None:
    """Bring the one job to a spool."""
    enqueue(store, [spec(1)])
    stream = store.jobs_stream("one/watcher-0")
    stream.ensure()
    [entry] = stream.read(1, 0)
    store.lock("one/watcher-0 token", 10_000, "{}")
    assert store.dispatch("one/watcher-0 token", "b-1", "{}", [("topic:beat-001", entry.id)]) == []
    store.unlock("one/watcher-0 token")
    slot = store.batches_stream("host/provisioner-1")
    slot.ensure()
    [message] = slot.read(1, 0)
    store.claim_batch(BatchMessage.parse(message), "host/provisioner-1", "t")
    store.hand_over("b-1", "t", spool, [("topic:beat-001", "{}")])
    assert store.finish_batch("b-1", "t") == set()


def test_jobs_in_a_spool_that_nobody_serves_any_more_start_anew(redis_url: str, store: JobStore) -> None:
    uploading(store, "0123456789ab")
    slots(store, 1)
    with RunningWatcher(redis_url, WATCHER_SPOOL_LOST_SECONDS=1).leading():
        wait_until(lambda: dispatched(store) == ["topic:beat-001"])
    assert store.client.xlen(store.keys.uploads_stream("0123456789ab")) == 0


def test_jobs_in_a_spool_whose_host_lives_stay_there_however_long_it_takes(redis_url: str, store: JobStore) -> None:
    uploading(store, "0123456789ab")
    store.beat("spool/0123456789ab")
    slots(store, 1)
    with RunningWatcher(redis_url, WATCHER_SPOOL_LOST_SECONDS=0).leading():
        enqueue(store, [spec(2)])  # an audit has gone by when what it must find comes back
        wait_until(lambda: dispatched(store) == ["topic:beat-002"])
        store.client.hdel(store.keys.batches_index, *store.client.hkeys(store.keys.batches_index))
        wait_until(lambda: dispatched(store) == ["topic:beat-002"] * 2)
    row = Look(store).row("topic:beat-001")
    assert row is not None
    assert row["state"] == "uploading"


def test_slots_and_watchers_that_are_gone_for_a_day_are_forgotten(redis_url: str, store: JobStore) -> None:
    slots(store, 1)
    store.client.zadd(store.keys.workers, {"slot/old": 1})
    with RunningWatcher(redis_url).leading():
        wait_until(lambda: "slot/old" not in store.client.zrange(store.keys.workers, 0, -1))
