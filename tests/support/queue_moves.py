"""Every script of the queue, each with a queue made ready for it: for tests that hold for all of them.

`READY[name](line)` brings a line to where the script has work to do, and returns the call as a function of a
store on the same keys (the line's own, or one behind a proxy, a replica, a server that is full).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import lib.jobqueue
from lib.jobqueue.store import Holder, JobStore, Requeue
from tests.support.queue_line import (
    BATCH_TOKEN,
    LOCK,
    SPOOL,
    UPLOAD_TOKEN,
    Line,
    content_hash,
    record,
    spec,
)

Call = Callable[[JobStore], object]

LUA = Path(lib.jobqueue.__file__).parent / "lua"
SCRIPTS = sorted(path.stem for path in LUA.glob("*.lua") if path.stem != "_common")

REPORTS = {"promote", "audit", "audit_batches", "backfill", "flush", "flush_stray", "flush_hard", "unlock", "autoclaim"}
"""Scripts that answer with what this very call changed: a repeat finds nothing left, and says so."""


def _enqueue(line: Line) -> Call:
    return lambda store: store.enqueue([("new", content_hash("new"), spec("new"))], nonce="n" * 32)


def _admit(line: Line) -> Call:
    entry = line.foreign("adopted")
    line.watcher.read(10, 0)
    return lambda store: store.admit([(entry, "adopted", content_hash("adopted"), spec("adopted"))])


def _reject(line: Line) -> Call:
    entry = str(line.client.xadd(line.keys.jobs_stream, {"job": "{"}))
    line.watcher.read(10, 0)
    return lambda store: store.reject([(entry, "", record("", "failed"), record(entry, "failed"))])


def _dispatch(line: Line) -> Call:
    jobs = list(line.queued("a", "b").items())
    line.lock()
    return lambda store: store.dispatch(LOCK, "batch-1", '{"v": 1}', jobs)


def _claim_batch(line: Line) -> Call:
    message = line.dispatched("a", "b")
    return lambda store: store.claim_batch(message, line.slot.consumer, BATCH_TOKEN)


def _renew_batch(line: Line) -> Call:
    line.claimed("a", "b")
    return lambda store: store.renew_batch("batch-1", line.slot.consumer, BATCH_TOKEN)


def _start_jobs(line: Line) -> Call:
    line.claimed("a", "b")
    return lambda store: store.start_jobs("batch-1", BATCH_TOKEN, ["a", "b"])


def _hand_over(line: Line) -> Call:
    line.speaking("a", "b")
    return lambda store: store.hand_over("batch-1", BATCH_TOKEN, SPOOL, [("a", "{}"), ("b", "{}")])


def _finish_batch(line: Line) -> Call:
    line.speaking("a")
    line.store.hand_over("batch-1", BATCH_TOKEN, SPOOL, [("a", "{}")])
    return lambda store: store.finish_batch("batch-1", BATCH_TOKEN)


def _release_batch(line: Line) -> Call:
    line.speaking("a", "b")
    return lambda store: store.release_batch("batch-1", BATCH_TOKEN)


def _fail(line: Line) -> Call:
    line.speaking("a", "b")
    jobs = [(one, "batch-1", record(one, "failed"), "bad_voice") for one in ("a", "b")]
    return lambda store: store.fail(Holder("batch", BATCH_TOKEN), jobs)


def _retry_later(line: Line) -> Call:
    entries = line.storing("a", "b")
    jobs = [(one, entry, 30_000, "engine_trouble") for one, entry in entries.items()]
    return lambda store: store.retry_later(Holder("upload", UPLOAD_TOKEN, SPOOL), jobs)


def _requeue(line: Line) -> Call:
    line.speaking("a", "b")
    jobs = [Requeue(one, "batch-1", "box_lost", losses=1) for one in ("a", "b")]
    return lambda store: store.requeue(Holder("batch", BATCH_TOKEN), jobs)


def _claim_uploads(line: Line) -> Call:
    messages = line.uploading("a", "b")
    return lambda store: store.claim_uploads(SPOOL, line.uploader.consumer, UPLOAD_TOKEN, messages)


def _complete(line: Line) -> Call:
    entries = line.storing("a", "b")
    jobs = [(one, entry, record(one, "done")) for one, entry in entries.items()]
    return lambda store: store.complete(SPOOL, UPLOAD_TOKEN, jobs)


def _promote(line: Line) -> Call:
    line.retrying("a", "b")
    line.age_retries()
    members = [(one, one, "", record(one, "failed")) for one in ("a", "b")]
    return lambda store: store.promote(members)


def _retry(line: Line) -> Call:
    line.failed("a")
    args = ["a", record("a", "failed"), spec("a"), content_hash("a"), "n" * 32]
    return lambda store: store._move("retry", args)


def _cancel(line: Line) -> Call:
    line.storing("a")
    return lambda store: store.cancel("a", SPOOL, record("a", "cancelled"))


def _audit(line: Line) -> Call:
    line.storing("u")
    line.claimed("b", batch_id="batch-2")
    entries = line.queued("q")
    line.vanish(line.keys.jobs_stream, entries["q"])
    line.vanish(line.keys.batches_stream)
    line.vanish(line.keys.uploads_stream(SPOOL))
    return lambda store: store.audit(0, 100)


def _audit_batches(line: Line) -> Call:
    line.claimed("b")
    line.vanish(line.keys.batches_stream)
    line.store.audit(0, 100)
    return lambda store: store._move("audit_batches", ["batch-1"])


def _backfill(line: Line) -> Call:
    line.client.hset(line.keys.result, "old", record("old", "done"))
    return lambda store: store.backfill("done", [("old", 1_700_000_000_000, content_hash("old"))])


def _flush(line: Line) -> Call:
    line.storing("u")
    line.retrying("r", batch_id="batch-2")
    line.speaking("s", batch_id="batch-3")
    line.queued("q")
    return lambda store: store.flush_step()


def _flush_stray(line: Line) -> Call:
    line.client.hset(line.keys.index, "stray", "queued")
    return lambda store: store.flush_stray(["stray"])


def _flush_hard(line: Line) -> Call:
    line.done("a")
    line.failed("b", batch_id="batch-2")
    return lambda store: store.flush_hard()


def _renew(line: Line) -> Call:
    ids = list(line.queued("a", "b").values())
    return lambda store: store.jobs_stream(line.watcher.consumer).renew(ids)


def _lock(line: Line) -> Call:
    return lambda store: store.lock(LOCK, 60_000, '{"ts": 1}')


def _unlock(line: Line) -> Call:
    line.lock()
    return lambda store: store._scripts.call("unlock", [store.keys.watcher_lock], [LOCK])


def _beat(line: Line) -> Call:
    return lambda store: store.beat("watcher/host", "uploader/host")


def _adopt(line: Line) -> Call:
    ids = list(line.queued("a", "b").values())
    line.lock()
    return lambda store: store.jobs_stream("host/watcher-9").adopt(line.keys.watcher_lock, LOCK, ids)


def _sweep(line: Line) -> Call:
    return lambda store: store._scripts.call("sweep", [store.keys.sweep(store.keys.jobs_stream)], ["me 1", 60_000])


def _autoclaim(line: Line) -> Call:
    line.queued("a", "b")
    return lambda store: store.jobs_stream("host/watcher-9").take_over(10)


READY: dict[str, Callable[[Line], Call]] = {
    name.removeprefix("_"): ready
    for name, ready in list(globals().items())
    if name.startswith("_") and name.removeprefix("_") in SCRIPTS
}
