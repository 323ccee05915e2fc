"""A queue driven by hand: brings jobs into any state through the real scripts, one call a step.

`Line` is the watcher, the provisioner and the uploader of a test. It decides nothing: every method is one move.
"""

from __future__ import annotations

import json
from typing import Any

from lib.jobqueue.messages import BatchMessage, ClaimedBatch, ClaimedUpload, UploadMessage
from lib.jobqueue.store import Holder, JobStore
from tests.support.queue_check import leaks, problems
from tests.support.snapshot import snapshot

LOCK = "watcher-1 lock"
BATCH_TOKEN = "b" * 32
UPLOAD_TOKEN = "u" * 32
STALE_TOKEN = "5" * 32
SPOOL = "5b0015b00152"


def spec(request_id: str) -> str:
    """A spec as the command line writes it, with what Lua's JSON would damage: [] and a large integer."""
    return json.dumps({"request_id": request_id, "text": "Grüße", "callback_data": {"empty": [], "n": 2**60 + 1}})


def content_hash(request_id: str) -> str:
    return f"sha256:{request_id}"


def record(request_id: str, status: str) -> str:
    return json.dumps({"request_id": request_id, "status": status, "takes": [], "job": json.loads(spec(request_id))})


class Line:
    """One store on one server. `client` is the test's own connection, for looking."""

    def __init__(self, client: Any, url: str, prefix: str = "pab:") -> None:
        self.client = client
        self.store = JobStore.connect(url, prefix)
        self.keys = self.store.keys
        self.vanished: set[tuple[str, str]] = set()  # stream, entry
        self.watcher = self.store.jobs_stream("host/watcher-0")
        self.slot = self.store.batches_stream("host/provisioner-0")
        self.uploader = self.store.uploads_stream(SPOOL, "host/uploader-0")
        for stream in (self.watcher, self.slot, self.uploader):
            stream.ensure()

    def close(self) -> None:
        self.store.client.close()

    # Looking

    def row(self, request_id: str) -> dict[str, Any]:
        return dict(json.loads(self.client.hget(self.keys.index, request_id)))

    def state(self, request_id: str) -> str:
        return str(self.row(request_id)["state"])

    def batch(self, batch_id: str = "batch-1") -> dict[str, Any]:
        return dict(json.loads(self.client.hget(self.keys.batches_index, batch_id)))

    def snapshot(self) -> dict[str, Any]:
        return snapshot(self.client)

    def check(self, **known: Any) -> None:
        """Assert every invariant of the queue."""
        found = problems(self.client, self.keys, vanished=self.vanished, **known)
        assert not found, "\n".join(found)

    def check_settled(self) -> None:
        """Assert the invariants, and that nothing outlives the settled jobs."""
        self.check()
        found = leaks(self.client, self.keys)
        assert not found, "\n".join(found)

    def events(self, request_id: str) -> list[str]:
        """The states a job went through, by the events stream."""
        rows = self.client.xrange(self.keys.events)
        return [fields["state"] for _, fields in rows if fields["request_id"] == request_id]

    def pending(self, stream: str, group: str) -> dict[str, str]:
        """Entry -> consumer of what a group holds."""
        rows = self.client.xpending_range(stream, group, "-", "+", 1000)
        return {row["message_id"]: row["consumer"] for row in rows}

    def vanish(self, stream: str, *entries: str) -> None:
        """Delete entries of a stream (all of them when none is named), as a foreigner might."""
        gone = entries or tuple(entry for entry, _ in self.client.xrange(stream))
        if gone:
            self.client.xdel(stream, *gone)
        self.vanished |= {(stream, entry) for entry in gone}

    # Moving

    def enqueue(self, *ids: str) -> list[str]:
        jobs = [(one, content_hash(one), spec(one)) for one in ids]
        return [status for status, _ in self.store.enqueue(jobs)]

    def foreign(self, request_id: str) -> str:
        """Another program's XADD; returns the entry."""
        return str(self.client.xadd(self.keys.jobs_stream, {"job": spec(request_id)}))

    def queued(self, *ids: str) -> dict[str, str]:
        """Enqueue and lease; returns request id -> entry."""
        self.enqueue(*ids)
        entries = {json.loads(one.fields["job"])["request_id"]: one.id for one in self.watcher.read(1000, 0)}
        return {one: entries[one] for one in ids}

    def lock(self) -> None:
        self.store.lock(LOCK, 60_000, '{"ts": 1}')

    def dispatched(self, *ids: str, batch_id: str = "batch-1") -> BatchMessage:
        """Bring new jobs into a batch that a slot has read and not claimed."""
        entries = self.queued(*ids)
        self.lock()
        assert self.store.dispatch(LOCK, batch_id, '{"v": 1}', list(entries.items())) == []
        return BatchMessage.parse(self.slot.read(1, 0)[0])

    def claim(self, message: BatchMessage, token: str = BATCH_TOKEN) -> ClaimedBatch:
        claimed = self.store.claim_batch(message, self.slot.consumer, token)
        assert claimed is not None
        return claimed

    def claimed(self, *ids: str, batch_id: str = "batch-1") -> BatchMessage:
        message = self.dispatched(*ids, batch_id=batch_id)
        self.claim(message)
        return message

    def speaking(self, *ids: str, batch_id: str = "batch-1") -> BatchMessage:
        message = self.claimed(*ids, batch_id=batch_id)
        assert all(self.store.start_jobs(batch_id, BATCH_TOKEN, ids))
        return message

    def uploading(self, *ids: str, batch_id: str = "batch-1") -> list[UploadMessage]:
        """Bring new jobs into the uploads stream, read and not claimed."""
        self.speaking(*ids, batch_id=batch_id)
        uploads = [(one, json.dumps({"v": 1, "request_id": one, "files": []})) for one in ids]
        assert set(self.store.hand_over(batch_id, BATCH_TOKEN, SPOOL, uploads)) == {"ok"}
        assert self.store.finish_batch(batch_id, BATCH_TOKEN) == set()
        return [UploadMessage.parse(one) for one in self.uploader.read(1000, 0)]

    def claim_uploads(self, messages: list[UploadMessage], token: str = UPLOAD_TOKEN) -> list[ClaimedUpload]:
        return self.store.claim_uploads(SPOOL, self.uploader.consumer, token, messages)

    def storing(self, *ids: str, batch_id: str = "batch-1") -> dict[str, str]:
        """Bring new jobs to where an uploader holds them; returns request id -> entry."""
        messages = self.uploading(*ids, batch_id=batch_id)
        assert len(self.claim_uploads(messages)) == len(ids)
        return {one.request_id: one.entry for one in messages}

    def done(self, *ids: str, batch_id: str = "batch-1") -> None:
        entries = self.storing(*ids, batch_id=batch_id)
        jobs = [(one, entries[one], record(one, "done")) for one in ids]
        assert all(self.store.complete(SPOOL, UPLOAD_TOKEN, jobs))

    def failed(self, *ids: str, batch_id: str = "batch-1") -> None:
        self.speaking(*ids, batch_id=batch_id)
        holder = Holder("batch", BATCH_TOKEN)
        assert all(self.store.fail(holder, [(one, batch_id, record(one, "failed"), "bad_voice") for one in ids]))
        self.store.finish_batch(batch_id, BATCH_TOKEN)

    def retrying(self, *ids: str, batch_id: str = "batch-1", delay_ms: int = 30_000) -> None:
        self.speaking(*ids, batch_id=batch_id)
        jobs = [(one, batch_id, delay_ms, "engine_trouble") for one in ids]
        assert all(self.store.retry_later(Holder("batch", BATCH_TOKEN), jobs))
        self.store.finish_batch(batch_id, BATCH_TOKEN)

    def age_retries(self) -> None:
        """Make every waiting retry due."""
        for member in self.client.zrange(self.keys.retry, 0, -1):
            self.client.zadd(self.keys.retry, {member: 1})
