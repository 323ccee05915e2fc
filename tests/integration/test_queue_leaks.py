"""No key outlives its use: once every job has ended, only what docs/protocol.md calls lasting remains."""

from __future__ import annotations

import json

import pytest

from lib.jobqueue.look import Look
from lib.jobqueue.messages import BatchMessage
from lib.jobqueue.store import new_token
from tests.support.queue_check import leaks
from tests.support.queue_line import Line, content_hash, record, spec
from tests.support.queue_moves import READY

pytestmark = pytest.mark.both_redis


def _end_everything(line: Line) -> None:
    """Admit what waits, cancel what is unfinished, and let a slot finish the batches that are left."""
    entries, _ = line.watcher.take_over(1000)
    jobs = [(one.id, json.loads(one.fields["job"])["request_id"]) for one in entries + line.watcher.read(1000, 0)]
    line.store.admit([(entry, id_, content_hash(id_), spec(id_)) for entry, id_ in jobs])
    look = Look(line.store)
    for id_ in line.client.zrange(line.keys.outstanding, 0, -1):
        spool = (look.row(id_) or {}).get("uploads", "")
        assert line.store.cancel(id_, spool, record(id_, "cancelled")) == "cancelled"
    line.slot.read(1000, 0)
    for entry in line.slot.take_over(1000)[0]:
        message, token = BatchMessage.parse(entry), new_token()
        assert line.store.claim_batch(message, line.slot.consumer, token) is not None
        assert line.store.finish_batch(message.batch_id, token) == set()
    line.store.audit_batches()
    line.store.unlock(line.client.get(line.keys.watcher_lock) or "")


@pytest.mark.parametrize("name", sorted(READY))
def test_nothing_remains_of_what_a_script_began(name: str, line: Line) -> None:
    READY[name](line)(line.store)
    _end_everything(line)
    line.check_settled()


@pytest.mark.parametrize(
    "stray",
    ["a foreign key", "an entry", "a lease", "a spec"],
)
def test_the_check_sees_what_remains(stray: str, line: Line) -> None:
    line.done("a")
    assert leaks(line.client, line.keys) == []
    if stray == "a foreign key":
        line.client.set("pab:lock:of-somebody", "1")
    elif stray == "an entry":
        line.client.xadd(line.keys.uploads_stream("forgotten"), {"request_id": "a"})
    elif stray == "a lease":
        line.foreign("b")
        line.watcher.read(1, 0)
        line.client.xtrim(line.keys.jobs_stream, 0, approximate=False)
    else:
        line.client.hset(line.keys.specs, "a", "{}")
    assert leaks(line.client, line.keys) != []
