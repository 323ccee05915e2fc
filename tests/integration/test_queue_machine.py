"""A property-based machine: any sequence of moves, faults and foreigners on a real Redis keeps every promise.

Hypothesis draws the steps; a plain model (tests/support/queue_model.py) says what each must do. After every step:
no accepted request has disappeared, each is in exactly one state with exactly the records, entries, indexes and
counts that go with it, and the streams hold exactly the outstanding work.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from lib.errors import LeaseLost
from lib.jobqueue.look import Look
from lib.jobqueue.messages import BatchMessage, UploadMessage
from lib.jobqueue.states import ALL, FINAL, IN_BATCH
from lib.jobqueue.store import Holder, Requeue, new_token
from tests.support.queue_line import LOCK, SPOOL, Line, content_hash, record, spec
from tests.support.queue_model import Model
from tests.support.redis_server import RedisServer
from tests.support.snapshot import snapshot, unchanged

IDS = [f"job-{number}" for number in range(8)]
SLOTS = ["host/provisioner-0", "host/provisioner-1"]
LEAVE = ["fail", "retry_later", "requeue"]
UPLOADERS = ["host/uploader-0", "host/uploader-1"]

ids = st.sampled_from(IDS)
pick = st.integers(0, 9999)
some = st.sets(st.integers(0, 999), min_size=1, max_size=3)
slots = st.sampled_from(SLOTS)
uploaders = st.sampled_from(UPLOADERS)


class QueueMachine(RuleBasedStateMachine):
    """The steps. `server` is set by the test that runs it."""

    server: ClassVar[RedisServer]
    client: ClassVar[Any]

    def __init__(self) -> None:
        super().__init__()
        self.client.flushall()
        self.line = Line(self.client, self.server.url)
        self.store = self.line.store
        self.model = Model()
        self.waiting: dict[str, str | None] = {}  # entry nobody has admitted -> its request id, None: unparsable
        self.entries = 0
        self.last: tuple[str, list[str], list[Any]] | None = None
        scripts, call = self.store._scripts, self.store._scripts.call

        def remember(name: str, keys: list[str], args: list[Any]) -> Any:
            self.last = (name, list(keys), list(args))
            return call(name, keys, args)

        scripts.call = remember  # type: ignore[method-assign, assignment]

    @initialize(wanted=st.lists(ids, min_size=1, max_size=6, unique=True))
    def start(self, wanted: list[str]) -> None:
        self.line.lock()
        self.enqueue(wanted)

    @rule(steps=st.lists(st.integers(0, 10**6), min_size=1, max_size=4))
    def work(self, steps: list[int]) -> None:
        """Some steps of the normal flow, wherever there is one to do.

        One rule for all of them: Hypothesis switches rules off at random, and a line needs each of its stations.
        """
        self._work(steps)

    @rule(steps=st.lists(st.integers(0, 10**6), min_size=5, max_size=12))
    def work_a_shift(self, steps: list[int]) -> None:
        self._work(steps)

    def _work(self, steps: list[int]) -> None:
        for number in steps:
            step, place = divmod(number, 97)
            self._work_once(step, place)
            self.every_request_is_where_the_model_says()
            self.every_key_agrees_with_the_rows()
        self.audit_finds_nothing_to_do()

    def _work_once(self, step: int, place: int) -> None:
        places = {place, place // 2, place // 3}
        stations: list[tuple[object, Callable[[], None]]] = [
            (self.waiting, lambda: self.read_and_admit(1 + place % 4)),
            (self.model.ids("queued"), lambda: self.dispatch(places)),
            (self.model.open_batches(claimed=False), lambda: self.claim_batch(place, SLOTS[place % 2])),
            (self._held(0, {0}), lambda: self.start_jobs(place, places)),
            (self._held(0, {0}), lambda: self.hand_over(place, places)),
            (self.model.open_batches(claimed=True), lambda: self.finish_batch(place)),
            (self.model.ids("uploading"), lambda: self.claim_uploads(UPLOADERS[place % 2])),
            (self._storing(0), lambda: self.complete(place)),
            (self.model.ids("retrying"), lambda: self.promote(due=place % 3 > 0)),
            (
                self._held(0, {0}) or self._storing(0),
                lambda: self.leave_a_stage(place, place % 2 > 0, LEAVE[place % 3]),
            ),
            (place % 5 == 0, lambda: self.cancel(place)),
        ]
        able = [go for ready, go in stations if ready]
        if able:
            able[step % len(able)]()

    # Producers

    @rule(wanted=st.lists(ids, min_size=1, max_size=3))
    def enqueue(self, wanted: list[str]) -> None:
        assert self.line.enqueue(*wanted) == self.model.enqueue(wanted)

    @rule(id_=st.one_of(st.none(), ids))
    def foreign_entry(self, id_: str | None) -> None:
        """Another program's entry; without an id one that cannot be parsed."""
        stream = self.line.keys.jobs_stream
        entry = self.line.foreign(id_) if id_ else str(self.client.xadd(stream, {"job": "{"}))
        self.waiting[entry] = id_
        self.last = None  # a flush that arrives again would rightly take this one too

    # Watcher

    def _admit(self, entries: list[Any]) -> None:
        """What a watcher does with what it has read, and what the model says to it."""
        good = [one for one in entries if one.fields["job"] != "{"]
        bad = [one for one in entries if one.fields["job"] == "{"]
        jobs = [(one.id, json.loads(one.fields["job"])["request_id"]) for one in good]
        answers = self.store.admit([(entry, id_, content_hash(id_), spec(id_)) for entry, id_ in jobs])
        for (entry, id_), answer in zip(jobs, answers, strict=True):
            if entry in self.waiting:
                del self.waiting[entry]
                known = id_ in self.model.jobs
                assert answer.outcome == ("superseded" if known else "held")
                self.model.enqueue([id_])
            else:
                assert answer.outcome == ("held" if self.model.jobs[id_].state == "queued" else "elsewhere")
            assert answer.outcome == "superseded" or answer.attempt == self.model.jobs[id_].attempt
        records = [(one.id, "", record("", "failed"), record(one.id, "failed")) for one in bad]
        assert self.store.reject(records) == [one.id for one in bad]
        for one in bad:
            del self.waiting[one.id]
            self.model.enqueue([one.id])
            self.model.leave(one.id, "failed")

    @rule(count=st.integers(1, 4))
    def read_and_admit(self, count: int) -> None:
        self._admit(self.line.watcher.read(count, 0))

    @rule(number=st.integers(1, 2))
    def another_watcher_takes_over(self, number: int) -> None:
        self.line.watcher = self.store.jobs_stream(f"host/watcher-{number}")
        entries, after = [], "0-0"
        while True:
            page, after = self.line.watcher.take_over(100, after)
            entries += page
            if not after:
                break
        self._admit(entries)

    def dispatch(self, places: set[int]) -> None:
        queued = self.model.ids("queued")
        chosen = sorted({queued[place % len(queued)] for place in places})
        batch_id = f"batch-{len(self.model.batches)}"
        pairs = [(id_, self.line.row(id_)["entry"]) for id_ in chosen]
        assert self.store.dispatch(LOCK, batch_id, '{"v":1}', pairs) == []
        entry = self.line.batch(batch_id)["entry"]
        self.model.dispatch(BatchMessage(entry, batch_id, tuple(chosen), {"v": 1}))

    def promote(self, due: bool) -> None:
        waiting = self.model.ids("retrying")
        if due:
            self.line.age_retries()
            assert sorted(Look(self.store).due_retries(100)) == waiting
        answers = self.store.promote([(id_, id_, "", record(id_, "failed")) for id_ in waiting])
        assert answers == ["ok" if due else "early"] * len(waiting)
        for id_ in waiting if due else []:
            self.model.leave(id_, "queued")

    def audit_finds_nothing_to_do(self) -> None:
        with unchanged(self.client):
            looked, put_back = self.store.audit(0, 100)
            assert self.store.audit_batches() == []
        assert put_back == []
        assert looked == len([job for job in self.model.jobs.values() if job.state not in FINAL])

    # Provisioner

    @precondition(lambda self: self.model.open_batches(claimed=True))
    @rule(place=pick, consumer=slots)
    def claim_batch(self, place: int, consumer: str) -> None:
        """A slot gets the entry, by reading or by reclaiming whatever is pending, and becomes the holder."""
        batches = self.model.open_batches()
        batch_id = batches[place % len(batches)]
        batch = self.model.batches[batch_id]
        slot = self.store.batches_stream(consumer)
        while slot.read(10, 0):
            pass
        if batch.consumer != consumer or not batch.token:
            slot.take_over(100)
            for other in self.model.batches.values():
                other.consumer = consumer
        message = BatchMessage(self.line.batch(batch_id)["entry"], batch_id, batch.message.request_ids, {"v": 1})
        token = new_token()
        claimed = self.store.claim_batch(message, consumer, token)
        self.model.claim(batch_id, consumer, token)
        assert claimed is not None
        assert claimed.losses == batch.losses
        have = [(one.request_id, one.state, one.attempt, one.crashes, one.spec) for one in claimed.jobs]
        jobs = [(id_, self.model.jobs[id_]) for id_ in self.model.in_batch(batch_id)]
        assert have == [(id_, job.state, job.attempt, job.crashes, spec(id_)) for id_, job in jobs]

    def _held(self, place: int, places: set[int]) -> tuple[str, str, list[str]] | None:
        """A claimed batch, its token, and some of the jobs in it."""
        batches = [one for one in self.model.open_batches(claimed=True) if self.model.in_batch(one)]
        if not batches:
            return None
        batch_id = batches[place % len(batches)]
        jobs = self.model.in_batch(batch_id)
        return batch_id, self.model.batches[batch_id].token, sorted({jobs[at % len(jobs)] for at in places})

    def start_jobs(self, place: int, places: set[int]) -> None:
        batch_id, token, jobs = self._held(place, places) or ("", "", [])
        assert all(self.store.start_jobs(batch_id, token, jobs))
        for id_ in jobs:
            self.model.jobs[id_].state = "speaking"

    @precondition(lambda self: self._held(0, {0}))
    @rule(place=pick)
    def renew_batch(self, place: int) -> None:
        batch_id, token, _ = self._held(place, {0}) or ("", "", [])
        consumer = self.model.batches[batch_id].consumer
        with unchanged(self.client):
            assert self.store.renew_batch(batch_id, consumer, token) == set(self.model.in_batch(batch_id))

    def hand_over(self, place: int, places: set[int]) -> None:
        batch_id, token, jobs = self._held(place, places) or ("", "", [])
        uploads = [(id_, json.dumps({"request_id": id_})) for id_ in jobs]
        assert self.store.hand_over(batch_id, token, SPOOL, uploads) == ["ok"] * len(jobs)
        for id_ in jobs:
            self.model.leave(id_, "uploading")
            stage = self.line.row(id_)["stage"]
            self.model.jobs[id_].upload = UploadMessage(stage, id_, {"request_id": id_})

    def finish_batch(self, place: int) -> None:
        batches = self.model.open_batches(claimed=True)
        batch_id = batches[place % len(batches)]
        inside = self.model.in_batch(batch_id)
        assert self.store.finish_batch(batch_id, self.model.batches[batch_id].token) == set(inside)
        if not inside:
            self.model.settle(batch_id)

    @precondition(lambda self: self.model.open_batches(claimed=True))
    @rule(place=pick)
    def release_batch(self, place: int) -> None:
        batches = self.model.open_batches(claimed=True)
        batch_id = batches[place % len(batches)]
        self.store.release_batch(batch_id, self.model.batches[batch_id].token)
        self.model.release(batch_id)

    @precondition(lambda self: any(batch.stale_tokens for batch in self.model.batches.values()))
    @rule(place=pick)
    def a_stale_holder_tries_everything(self, place: int) -> None:
        stale = [(id_, token) for id_, batch in self.model.batches.items() for token in batch.stale_tokens]
        batch_id, token = stale[place % len(stale)]
        everything = self.model.batches[batch_id].message.request_ids
        holder = Holder("batch", token)
        with unchanged(self.client):
            self._refused(lambda: self.store.renew_batch(batch_id, SLOTS[0], token))
            self._refused(lambda: self.store.release_batch(batch_id, token))
            self._refused(lambda: self.store.finish_batch(batch_id, token))
            assert not any(self.store.start_jobs(batch_id, token, everything))
            assert "ok" not in self.store.hand_over(batch_id, token, SPOOL, [(id_, "{}") for id_ in everything])
            self.store.fail(holder, [(id_, batch_id, "stale", "") for id_ in everything])
            self.store.retry_later(holder, [(id_, batch_id, 1, "") for id_ in everything])
            self.store.requeue(holder, [Requeue(id_, batch_id, "") for id_ in everything])

    @staticmethod
    def _refused(call: Callable[[], object]) -> None:
        """A batch that is settled, or was released by this very holder, is no error to it; anything else is."""
        try:
            assert not call()
        except LeaseLost:
            return

    # Uploader

    def claim_uploads(self, consumer: str) -> None:
        stream = self.store.uploads_stream(SPOOL, consumer)
        while stream.read(10, 0):
            pass
        stream.take_over(100)
        messages = [self.model.jobs[id_].upload for id_ in self.model.ids("uploading")]
        token = new_token()
        claimed = self.store.claim_uploads(SPOOL, consumer, token, [one for one in messages if one])
        assert [one.message for one in claimed] == messages
        for one in claimed:
            self.model.jobs[one.message.request_id].upload_token = token

    def _storing(self, place: int) -> str | None:
        stored = [id_ for id_ in self.model.ids("uploading") if self.model.jobs[id_].upload_token]
        return stored[place % len(stored)] if stored else None

    def complete(self, place: int) -> None:
        id_ = self._storing(place) or ""
        job = self.model.jobs[id_]
        assert job.upload is not None
        with unchanged(self.client):
            assert self.store.complete(SPOOL, new_token(), [(id_, job.upload.entry, "stale")]) == [False]
        done = [(id_, job.upload.entry, record(id_, "done"))]
        assert self.store.complete(SPOOL, job.upload_token, done) == [True]
        self.model.leave(id_, "done")

    # Any holder

    def _holder(self, place: int, *, upload: bool) -> tuple[Holder, str, str] | None:
        """A holder, one job of its, and the name it holds it by."""
        if upload:
            id_ = self._storing(place)
            job = self.model.jobs[id_] if id_ else None
            if not id_ or not job or not job.upload:
                return None
            return Holder("upload", job.upload_token, SPOOL), id_, job.upload.entry
        found = self._held(place, {place})
        return (Holder("batch", found[1]), found[2][0], found[0]) if found else None

    @precondition(lambda self: self._held(0, {0}) or self._storing(0))
    @rule(place=pick, upload=st.booleans(), how=st.sampled_from(LEAVE))
    def leave_a_stage(self, place: int, upload: bool, how: str) -> None:
        found = self._holder(place, upload=upload) or self._holder(place, upload=not upload)
        assert found is not None
        holder, id_, held = found
        if how == "fail":
            assert self.store.fail(holder, [(id_, held, record(id_, "failed"), "bad")]) == [True]
            self.model.leave(id_, "failed", attempts=1)
        elif how == "retry_later":
            assert self.store.retry_later(holder, [(id_, held, 60_000, "trouble")]) == [True]
            self.model.leave(id_, "retrying", attempts=1)
        else:
            assert self.store.requeue(holder, [Requeue(id_, held, "lost", losses=1)]) == [True]
            self.model.leave(id_, "queued", losses=1)

    # Operator

    def cancel(self, place: int) -> None:
        id_ = IDS[place % len(IDS)]
        job = self.model.jobs.get(id_)
        spool = SPOOL if job and job.state == "uploading" else ""
        answer = self.store.cancel(id_, spool, record(id_, "cancelled"))
        if job is None or job.state in FINAL:
            assert answer == (job.state if job else "unknown")
        else:
            assert answer == "cancelled"
            self.model.leave(id_, "cancelled")

    @precondition(lambda self: self.model.ids(*FINAL))
    @rule(place=pick)
    def retry(self, place: int) -> None:
        known = self.model.ids(*FINAL, "queued", "speaking")
        id_ = known[place % len(known)]
        job = self.model.jobs.get(id_)
        raw = Look(self.store).raw_failed(id_) or ""
        answer = self.store.retry(id_, raw, spec(id_), content_hash(id_))
        if job is None or job.state not in FINAL:
            assert answer == "not_failed"
        elif job.state == "done":
            assert answer == "already_done"
        else:
            assert answer == "queued"
            self.model.retry(id_)

    @precondition(lambda self: len(self.model.batches) > 2)
    @rule()
    def flush(self) -> None:
        while self.store.flush_step(3):
            pass
        self.model.flush()
        self.waiting = {}

    # Faults

    @precondition(lambda self: len(self.model.batches) > 1)
    @rule()
    def every_entry_vanishes_and_the_audit_looks(self) -> None:
        for stream in (self.line.keys.jobs_stream, self.line.keys.batches_stream, self.line.keys.uploads_stream(SPOOL)):
            self.line.vanish(stream)
        self.waiting = {}
        expected = [id_ for id_ in self.model.jobs if self.model.jobs[id_].state not in {*FINAL, "retrying"}]
        _, put_back = self.store.audit(0, 100)
        assert sorted(id_ for id_, _ in put_back) == sorted(expected)
        assert sorted(self.store.audit_batches()) == self.model.open_batches()
        self.model.put_back()

    @precondition(lambda self: self.last)
    @rule(forget=st.booleans())
    def the_last_call_arrives_again(self, forget: bool) -> None:
        assert self.last is not None
        if forget:
            self.client.script_flush()
        name, keys, args = self.last
        before = _less_claim_times(snapshot(self.client))
        self.store._scripts.call(name, keys, args)
        assert _less_claim_times(snapshot(self.client)) == before, name

    # Promises

    @invariant()
    def every_request_is_where_the_model_says(self) -> None:
        rows = {id_: json.loads(text) for id_, text in self.client.hgetall(self.line.keys.index).items()}
        have = {
            id_: (row["state"], row["attempt"], row.get("lost", 0), row["batch"] if row["state"] in IN_BATCH else None)
            for id_, row in rows.items()
        }
        want = {id_: (job.state, job.attempt, job.lost, job.batch) for id_, job in self.model.jobs.items()}
        assert have == want
        for id_, row in rows.items():
            job = self.model.jobs[id_]
            job.queued_ms = job.queued_ms or row.get("queued_ms", 0)
            assert row.get("queued_ms", 0) == job.queued_ms, f"{id_} has lost its age"

    @invariant()
    def every_key_agrees_with_the_rows(self) -> None:
        self.line.check(unread=self.waiting)

    @invariant()
    def looking_tells_the_same_story(self) -> None:
        states = Look(self.store).status(180_000)["states"]
        assert states == {state: len(self.model.ids(state)) for state in sorted(ALL)}


def _less_claim_times(found: dict[str, Any]) -> dict[str, Any]:
    """A claim repeated by the same token is made again; only its time differs."""
    for row in found.get("pab:batches:index", {}).values():
        row.pop("claimed_ms", None)
    return found


def _run(server: RedisServer, examples: int, steps: int) -> None:
    with server.client() as client:
        machine = type("Machine", (QueueMachine,), {"server": server, "client": client})
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=examples,
                stateful_step_count=steps,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                database=None,
            ),
        )


@pytest.mark.both_redis
def test_any_sequence_of_moves_keeps_every_promise(redis_server: RedisServer) -> None:
    _run(redis_server, examples=100, steps=30)


@pytest.mark.soak
@pytest.mark.both_redis
@pytest.mark.timeout(1800)
def test_many_long_sequences_of_moves_keep_every_promise(redis_server: RedisServer) -> None:
    _run(redis_server, examples=1000, steps=80)
