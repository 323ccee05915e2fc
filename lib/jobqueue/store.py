"""Every transition of a job, one method and one atomic script each. Decides nothing, and reads no clock.

Each script checks its precondition and is safe to call twice, also when the reply to the first call was lost: redis-py
sends a command again after a dropped connection. docs/protocol.md lists them all.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib.errors import LeaseLost
from lib.jobqueue.keys import PROVISIONERS, UPLOADERS, WATCHERS, Keys
from lib.jobqueue.messages import (
    Admission,
    BatchMessage,
    ClaimedBatch,
    ClaimedJob,
    ClaimedUpload,
    UploadMessage,
)
from lib.jobqueue.streams import WorkStream
from lib.redisio import Client, Scripts, connect, translated

_LUA = Path(__file__).parent / "lua"
ENQUEUE_JOBS = 1000  # a call: about 10 ms of Redis's time, and one fsync


def new_token() -> str:
    """Make a fencing token: 128 random bits."""
    return secrets.token_hex(16)


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a job that is to leave its stage. `kind`: batch, upload, entry or lost (see `lua/_common.lua`)."""

    kind: str
    token: str
    uploads: str = "none"  # the spool whose uploads stream the jobs lie on


@dataclass(frozen=True, slots=True)
class Requeue:
    """One job to put back free of charge."""

    request_id: str
    holder: str
    reason: str
    losses: int = 0
    crashes: int = 0
    alone: bool = False


class JobStore:
    """The job queue on one Redis."""

    def __init__(self, client: Client, prefix: str = "pab:") -> None:
        self.client = client
        self.keys = Keys(prefix)
        self._scripts = Scripts(client, _LUA)
        self._job_keys = self.keys.job_keys()

    @classmethod
    def connect(cls, url: str, prefix: str = "pab:", **options: Any) -> JobStore:
        """Open a store by URL; `options` are those of `lib.redisio.connect`."""
        return cls(connect(url, **options), prefix)

    def _move(self, name: str, args: Sequence[str | int | float], extra: Sequence[str] = ()) -> Any:
        return self._scripts.call(name, [*self._job_keys, *extra], args)

    def ping(self) -> None:
        """Raise where Redis does not answer."""
        with translated():
            self.client.ping()

    # Streams

    def jobs_stream(self, consumer: str) -> WorkStream:
        """The jobs stream, as one watcher sees it."""
        return WorkStream(self.client, self.keys, self.keys.jobs_stream, WATCHERS, consumer)

    def batches_stream(self, consumer: str) -> WorkStream:
        """The batches stream, as one slot sees it."""
        return WorkStream(self.client, self.keys, self.keys.batches_stream, PROVISIONERS, consumer)

    def uploads_stream(self, spool: str, consumer: str) -> WorkStream:
        """The uploads stream of one spool, as one uploader sees it."""
        return WorkStream(self.client, self.keys, self.keys.uploads_stream(spool), UPLOADERS, consumer)

    # Producers

    def enqueue(self, jobs: Sequence[tuple[str, str, str]], nonce: str | None = None) -> list[tuple[str, str]]:
        """Accept (request id, content hash, spec JSON) jobs, once each.

        Returns (status, content hash known before or '') for each: queued, duplicate_request or already_done.
        """
        answer: list[tuple[str, str]] = []
        for at in range(0, len(jobs), ENQUEUE_JOBS):
            args = [nonce or new_token(), *(value for job in jobs[at : at + ENQUEUE_JOBS] for value in job)]
            flat = self._move("enqueue", args)
            answer.extend(zip(flat[::2], flat[1::2], strict=True))
        return answer

    # Watcher

    def lock(self, value: str, ttl_ms: int, heartbeat: str) -> str:
        """Take or keep the watcher's lock, leaving the heartbeat; returns the lock's value, ours when we hold it."""
        keys = [self.keys.watcher_lock, self.keys.watcher_heartbeat]
        return str(self._scripts.call("lock", keys, [value, ttl_ms, heartbeat]))

    def unlock(self, value: str) -> None:
        """Give the watcher's lock back, if it is ours."""
        self._scripts.call("unlock", [self.keys.watcher_lock], [value])

    def admit(self, jobs: Sequence[tuple[str, str, str, str]]) -> list[Admission]:
        """Check (entry id, request id, content hash, spec JSON) entries against their rows."""
        flat = self._move("admit", [value for job in jobs for value in job])
        return [
            Admission(str(flat[at]), int(flat[at + 1]), int(flat[at + 2]), int(flat[at + 3]) == 1, int(flat[at + 4]))
            for at in range(0, len(flat), 5)
        ]

    def reject(self, entries: Sequence[tuple[str, str, str, str]]) -> list[str]:
        """Settle unparsable (entry id, request id or '', record, record keyed by entry id); returns the keys used."""
        return list(self._move("reject", [value for entry in entries for value in entry]))

    def dispatch(self, lock: str, batch_id: str, header: str, jobs: Sequence[tuple[str, str]]) -> list[str]:
        """Put (request id, entry id) jobs into a batch, all or none; returns those that were no longer undispatched.

        Raises:
            LeaseLost: the lock's value is no longer `lock`.
        """
        args = [lock, batch_id, header, *(value for job in jobs for value in job)]
        answer = self._move("dispatch", args, [self.keys.watcher_lock])
        if answer[0] == "lost":
            raise LeaseLost("the watcher's lock is another's")
        return list(answer[1:])

    def promote(self, members: Sequence[tuple[str, str, str, str]]) -> list[str]:
        """Put due (member, request id, old spec or '', record if no spec is left) retries back on the stream."""
        return list(self._move("promote", [value for member in members for value in member]))

    def audit(self, start: int, count: int, lost: Collection[str] = ()) -> tuple[int, list[tuple[str, str]]]:
        """Check a window of the outstanding jobs; returns how many, and (request id, state) of those put back.

        `lost`: spools that are gone with all that lies in them.
        """
        spools = self.spools()
        named = [f"!{one}" if one in lost else one for one in spools]
        answer = self._move("audit", [start, count, *named], [self.keys.uploads_stream(one) for one in spools])
        return int(answer[0]), list(zip(answer[1::2], answer[2::2], strict=True))

    def audit_batches(self) -> list[str]:
        """Remove rows of batches that have vanished; returns their ids."""
        with translated():
            ids = [str(one) for one in self.client.hkeys(self.keys.batches_index)]
        return list(self._move("audit_batches", ids)) if ids else []

    def backfill(self, state: str, records: Sequence[tuple[str, int, str]]) -> int:
        """Give (request id, unix ms, content hash) final records of an older version their rows."""
        return int(self._move("backfill", [state, *(value for record in records for value in record)]))

    def mark_backfilled(self, at: str) -> None:
        """Note that every record of an older version has its row, so that nobody looks again."""
        with translated():
            self.client.set(self.keys.backfill, at)

    # Provisioner

    def claim_batch(
        self, message: BatchMessage, consumer: str, token: str, *, adopted: bool = False
    ) -> ClaimedBatch | None:
        """Become a batch's holder; None when it is settled already. `adopted`: its executor was found alive.

        Raises:
            LeaseLost: the entry is another consumer's.
        """
        answer = self._move("claim_batch", [consumer, message.entry, message.batch_id, token, int(adopted)])
        if answer[0] == "lost":
            raise LeaseLost(f"batch {message.batch_id} is another consumer's")
        if answer[0] == "gone":
            return None
        jobs = tuple(
            ClaimedJob(id_, spec, int(attempt), int(losses), int(crashes), state)
            for id_, spec, attempt, losses, crashes, state in zip(*(answer[at::6] for at in range(2, 8)), strict=True)
        )
        return ClaimedBatch(message.batch_id, int(answer[1]), jobs)

    def renew_batch(self, batch_id: str, consumer: str, token: str) -> set[str]:
        """Keep a batch's lease; returns the request ids still in it. Raises LeaseLost."""
        answer = self._move("renew_batch", [consumer, batch_id, token])
        if answer[0] == "lost":
            raise LeaseLost(f"batch {batch_id} is another holder's")
        return set(answer[1:])

    def start_jobs(self, batch_id: str, token: str, request_ids: Sequence[str]) -> list[bool]:
        """Note that synthesis has begun; False for a job that is not the holder's any more."""
        return [one == "ok" for one in self._move("start_jobs", [batch_id, token, *request_ids])]

    def hand_over(self, batch_id: str, token: str, spool: str, uploads: Sequence[tuple[str, str]]) -> list[str]:
        """Pass (request id, payload JSON) finished jobs to the uploaders; each answer ok, already or stale."""
        extra = [self.keys.uploads_stream(spool), self.keys.spools]
        return list(self._move("hand_over", [batch_id, token, spool, *(v for up in uploads for v in up)], extra))

    def finish_batch(self, batch_id: str, token: str) -> set[str]:
        """Settle a batch that no job is in any more; returns those that still are (then nothing changed)."""
        answer = self._move("finish_batch", [batch_id, token])
        if answer[0] == "lost":
            raise LeaseLost(f"batch {batch_id} is another holder's")
        return set(answer[1:])

    def release_batch(self, batch_id: str, token: str) -> None:
        """Hand a batch back on a clean stop. Raises LeaseLost."""
        if self._move("release_batch", [batch_id, token])[0] == "lost":
            raise LeaseLost(f"batch {batch_id} is another holder's")

    # Any holder

    def fail(self, holder: Holder, jobs: Sequence[tuple[str, str, str, str]]) -> list[bool]:
        """Fail (request id, holder, record, reason) for good; False where the holder is stale."""
        return self._leave("fail", holder, [value for job in jobs for value in job])

    def retry_later(self, holder: Holder, jobs: Sequence[tuple[str, str, int, str]]) -> list[bool]:
        """Schedule (request id, holder, delay ms, reason) for another attempt; False where the holder is stale."""
        return self._leave("retry_later", holder, [value for job in jobs for value in job])

    def requeue(self, holder: Holder, jobs: Sequence[Requeue]) -> list[bool]:
        """Put jobs back free of charge; False where the holder is stale."""
        args: list[str | int] = []
        for job in jobs:
            args += [job.request_id, job.holder, job.losses, job.crashes, int(job.alone), job.reason]
        return self._leave("requeue", holder, args)

    def _leave(self, move: str, holder: Holder, args: Sequence[str | int]) -> list[bool]:
        answer = self._move(move, [holder.kind, holder.token, *args], [self.keys.uploads_stream(holder.uploads)])
        return [one == "ok" for one in answer]

    # Uploader

    def claim_uploads(
        self, spool: str, consumer: str, token: str, messages: Sequence[UploadMessage]
    ) -> list[ClaimedUpload]:
        """Become the holder of uploads; those that are settled, or another's, are left out."""
        args = [consumer, token, *(value for one in messages for value in (one.entry, one.request_id))]
        rows = self._move("claim_uploads", args, [self.keys.uploads_stream(spool)])
        return [
            ClaimedUpload(message, json.loads(row))
            for message, row in zip(messages, rows, strict=True)
            if row not in ("", "gone")
        ]

    def complete(self, spool: str, token: str, jobs: Sequence[tuple[str, str, str]]) -> list[bool]:
        """Settle stored (request id, upload entry, record JSON) jobs; False where the holder is stale."""
        args = [token, *(value for job in jobs for value in job)]
        return [one == "ok" for one in self._move("complete", args, [self.keys.uploads_stream(spool)])]

    # Operator

    def retry(self, request_id: str, record: str, spec: str, hash_: str) -> str:
        """Requeue a failed or cancelled job whose record reads `record`: see `lua/retry.lua` for the answers."""
        return str(self._move("retry", [request_id, record, spec, hash_, new_token()]))

    def cancel(self, request_id: str, spool: str, record: str) -> str:
        """Cancel an unfinished job that the caller saw on `spool` ('' for none): see `lua/cancel.lua`."""
        return str(self._move("cancel", [request_id, spool, record], [self.keys.uploads_stream(spool or "none")]))

    def flush_step(self, limit: int = 500) -> int:
        """Remove up to `limit` of each kind of unfinished thing; 0 when nothing is left."""
        return int(self._move("flush", [limit], [self.keys.uploads_stream(one) for one in self.spools()]))

    def flush_stray(self, request_ids: Sequence[str]) -> int:
        """Forget those of the unfinished requests that are not outstanding; returns how many."""
        return int(self._move("flush_stray", request_ids)) if request_ids else 0

    def flush_hard(self) -> tuple[int, int] | None:
        """Forget all that has ended; returns (done, failed) records removed, None while jobs are outstanding."""
        answer = self._move("flush_hard", [])
        return None if answer[0] == "busy" else (int(answer[1]), int(answer[2]))

    # Small things

    def spools(self) -> list[str]:
        """Every spool that ever had an upload."""
        with translated():
            return sorted(str(one) for one in self.client.smembers(self.keys.spools))

    def beat(self, *workers: str) -> int:
        """Say that `role/name` workers are alive; returns the time of Redis in unix ms."""
        return int(self._scripts.call("beat", [self.keys.workers], workers))
