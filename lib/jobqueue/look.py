"""Reading the queue, at a cost that does not grow with its history. Changes nothing.

`history` reads an index by time, `status` reads counters; neither ever reads a whole hash.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from lib.errors import QueueCorrupt
from lib.jobqueue.keys import WATCHERS
from lib.jobqueue.states import ALL
from lib.jobqueue.store import JobStore
from lib.redisio import translated

_STALE_LIMIT = 10_000  # stale_pel is counted up to here
_PAGE = 500
_NUMBERS = {"attempt", "lost", "crashes", "alone", "queued_ms", "at_ms", "handed_ms"}


class Look:
    """Read-only questions to one store."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._client: Any = store.client
        self._keys = store.keys

    def status(self, lease_idle_ms: int, worker_ttl_ms: int = 30_000) -> dict[str, Any]:
        """Facts about queue, workers and lock; the shape is `job-runner status --json` less its envelope."""
        keys = self._keys
        spools = self._store.spools()
        with translated():
            pipe = self._client.pipeline(transaction=False)
            pipe.hgetall(keys.counters)
            pipe.xlen(keys.jobs_stream)
            pipe.zcard(keys.retry)
            pipe.xlen(keys.batches_stream)
            pipe.get(keys.first_queued)
            pipe.get(keys.watcher_lock)
            pipe.get(keys.watcher_heartbeat)
            pipe.zrange(keys.workers, 0, -1, withscores=True)
            pipe.time()
            pipe.zrange(keys.retry, 0, 0, withscores=True)
            for spool in spools:
                pipe.xlen(keys.uploads_stream(spool))
            counters, stream, retries, batches, first, lock, beat, workers, clock, next_retry, *uploads = pipe.execute()
        pending, stale = self._pending(lease_idle_ms)
        now_ms = int(clock[0]) * 1000 + int(clock[1]) // 1000
        heartbeat = _json_object(beat)
        return {
            "outstanding": stream + retries,
            "stream_length": stream,
            "pending": pending,
            "stale_pel": stale,
            "retries_waiting": retries,
            "next_retry_unix": next_retry[0][1] if next_retry else None,
            "batches_open": batches,
            "uploads_waiting": sum(uploads),
            "states": {state: _count(counters, state) for state in sorted(ALL)},
            "first_queued": first,
            "lock_owner": lock.split(" ", 1)[0] if lock else None,
            "watcher_last_seen": heartbeat.get("ts"),
            "watcher_consumer": heartbeat.get("consumer"),
            "watcher_run_id": heartbeat.get("run_id"),
            "watcher_reason": heartbeat.get("reason"),
            "workers": [
                {"worker": name, "silent_seconds": round((now_ms - seen) / 1000, 1)}
                for name, seen in workers
                if now_ms - seen <= worker_ttl_ms and not name.startswith("spool/")
            ],
            "metrics": {f"jobs_{state}": _count(counters, state) for state in ("done", "failed", "cancelled")},
            "redis_time_unix": now_ms / 1000,
        }

    def _pending(self, lease_idle_ms: int) -> tuple[int, int]:
        """Entries that a watcher holds, and how many of them nobody has renewed for `lease_idle_ms`."""
        with translated():
            if not self._client.exists(self._keys.jobs_stream):
                return 0, 0
            groups = {row["name"]: row for row in self._client.xinfo_groups(self._keys.jobs_stream)}
            if WATCHERS not in groups:
                return 0, 0
            stale = self._client.xpending_range(
                self._keys.jobs_stream, WATCHERS, min="-", max="+", count=_STALE_LIMIT, idle=lease_idle_ms
            )
        return int(groups[WATCHERS]["pending"]), len(stale)

    def live_workers(self, role: str, ttl_ms: int = 30_000) -> list[str]:
        """Names of the workers of a role that have spoken within `ttl_ms`, by the clock of Redis."""
        with translated():
            now = self._client.time()
            since = int(now[0]) * 1000 + int(now[1]) // 1000 - ttl_ms
            names = self._client.zrangebyscore(self._keys.workers, since, "+inf")
        return [name.split("/", 1)[1] for name in names if name.startswith(f"{role}/")]

    def history(self, limit: int, status: str = "all") -> list[dict[str, Any]]:
        """Final records, newest first. `status`: done, failed (cancelled ones among them) or all."""
        sides = [
            (self._keys.history_done, self._keys.result, "done"),
            (self._keys.history_failed, self._keys.failed, "failed"),
        ]
        found: list[tuple[float, dict[str, Any]]] = []
        for index, records, name in sides:
            if status in (name, "all"):
                with translated():
                    rows = self._client.zrevrange(index, 0, limit - 1, withscores=True)
                    raw = self._client.hmget(records, [row[0] for row in rows]) if rows else []
                for (request_id, at), text in zip(rows, raw, strict=True):
                    if text is not None:
                        found.append((at, {"request_id": request_id, "status": name, **_json_object(text)}))
        found.sort(key=lambda pair: pair[0], reverse=True)
        return [record for _, record in found[:limit]]

    def result(self, request_id: str) -> dict[str, Any] | None:
        """The final record of a request, else its row with its state, else None."""
        return self.results([request_id])[0]

    def results(self, request_ids: Sequence[str]) -> list[dict[str, Any] | None]:
        """The same for many: each a record, or {request_id, status, attempt, ...} of one on its way, or None."""
        answer: list[dict[str, Any] | None] = []
        for at in range(0, len(request_ids), 500):
            part = list(request_ids[at : at + 500])
            with translated():
                pipe = self._client.pipeline(transaction=False)
                for key in (self._keys.result, self._keys.failed, self._keys.index):
                    pipe.hmget(key, part)
                done, failed, rows = pipe.execute()
            answer.extend(_answer(*four) for four in zip(part, done, failed, rows, strict=True))
        return answer

    def raw_failed(self, request_id: str) -> str | None:
        """The failed record exactly as stored, for `JobStore.retry`."""
        with translated():
            text = self._client.hget(self._keys.failed, request_id)
        return None if text is None else str(text)

    def spec(self, request_id: str) -> str | None:
        """The spec of an unfinished job, exactly as stored."""
        with translated():
            text = self._client.hget(self._keys.specs, request_id)
        return None if text is None else str(text)

    def stray_spec(self, request_id: str) -> str | None:
        """The spec of a job that an older version left without a row of ours: on the jobs stream or in the retry set.

        Reads through both, page by page: for an operator's move on one such job, not for every day.
        """
        after = "-"
        while True:
            with translated():
                page = self._client.xrange(self._keys.jobs_stream, min=after, max="+", count=_PAGE)
            for _, fields in page:
                if _json_object(fields.get("job")).get("request_id") == request_id:
                    return str(fields["job"])
            if len(page) < _PAGE:
                break
            after = f"({page[-1][0]}"
        with translated():
            members = [member for member, _ in self._client.zscan_iter(self._keys.retry, count=_PAGE)]
        for member in members:
            entry = _json_object(member)
            if entry.get("request_id") == request_id and entry.get("job"):
                job = entry["job"]
                return job if isinstance(job, str) else json.dumps(job)
        return None

    def row(self, request_id: str) -> dict[str, Any] | None:
        """A job's row; one that an older version wrote reads as {state}."""
        with translated():
            text = self._client.hget(self._keys.index, request_id)
        return None if text is None else _row(text)

    def batch_rows(self, batch_ids: Sequence[str]) -> list[dict[str, Any] | None]:
        """The rows of batches (entry, token, consumer, losses, ids, ...); None for one that is settled."""
        if not batch_ids:
            return []
        with translated():
            texts = self._client.hmget(self._keys.batches_index, list(batch_ids))
        return [None if text is None else _json_object(text) for text in texts]

    def upload_folders(self, spool: str) -> set[str]:
        """The spool folders that the unsettled uploads of a spool name."""
        folders: set[str] = set()
        after = "-"
        while True:
            with translated():
                page = self._client.xrange(self._keys.uploads_stream(spool), min=after, max="+", count=_PAGE)
            folders.update(str(_json_object(fields.get("upload")).get("folder") or "") for _, fields in page)
            if len(page) < _PAGE:
                return folders
            after = f"({page[-1][0]}"

    def open_batches(self) -> set[str]:
        """Ids of the batches that are not settled."""
        with translated():
            return {str(one) for one in self._client.hkeys(self._keys.batches_index)}

    def due_retries(self, limit: int) -> list[str]:
        """Members of the retry set whose time has come."""
        with translated():
            now = self._client.time()
            return list(self._client.zrangebyscore(self._keys.retry, "-inf", now[0] + now[1] / 1e6, start=0, num=limit))

    def records(self, key: str, cursor: int, count: int) -> tuple[int, dict[str, str]]:
        """A page of a hash of records (or rows), for walks in the background: (next cursor or 0, fields)."""
        with translated():
            after, page = self._client.hscan(key, cursor=cursor, count=count)
        return int(after), page

    def counts(self) -> tuple[dict[str, int], str | None]:
        """How many jobs are in each state, and when the oldest unfinished one was queued: for gauges."""
        with translated():
            pipe = self._client.pipeline(transaction=False)
            pipe.hgetall(self._keys.counters)
            pipe.get(self._keys.first_queued)
            counters, first = pipe.execute()
        return {state: int(counters.get(state, 0)) for state in sorted(ALL)}, first

    def retry_members(self, cursor: int, count: int) -> tuple[int, list[str]]:
        """A page of the retry set, due or not: (next cursor or 0, members)."""
        with translated():
            after, page = self._client.zscan(self._keys.retry, cursor=cursor, count=count)
        return int(after), [str(member) for member, _ in page]

    def backfilled(self) -> bool:
        """Whether what an older version wrote has been brought up to date."""
        with translated():
            return bool(self._client.exists(self._keys.backfill))

    def now_unix(self) -> float:
        """The clock of Redis, the only one that counts."""
        with translated():
            clock = self._client.time()
        return int(clock[0]) + int(clock[1]) / 1e6

    def recent_ids(self, limit: int = 500) -> list[str]:
        """Request ids to compare a mistyped one with: those outstanding, and those that ended last."""
        with translated():
            pipe = self._client.pipeline(transaction=False)
            pipe.zrange(self._keys.outstanding, 0, limit - 1)
            for key in (self._keys.history_done, self._keys.history_failed):
                pipe.zrevrange(key, 0, limit - 1)
            found = pipe.execute()
        return list(dict.fromkeys(str(one) for part in found for one in part))

    def unlisted(self) -> int:
        """Final records that history does not list yet: an older version wrote them, the watcher adds them."""
        with translated():
            pipe = self._client.pipeline(transaction=False)
            pipe.hlen(self._keys.result)
            pipe.hlen(self._keys.failed)
            pipe.zcard(self._keys.history_done)
            pipe.zcard(self._keys.history_failed)
            done, failed, listed_done, listed_failed = pipe.execute()
        return int(max(0, done - listed_done) + max(0, failed - listed_failed))

    def events(self, after: str, block_ms: int, count: int = 200) -> Iterator[tuple[str, dict[str, str]]]:
        """Events after an id (`$`: from now on), waiting up to `block_ms` for the first."""
        with translated():
            answer = self._client.xread({self._keys.events: after}, count=count, block=block_ms or None)
        for _, entries in answer or []:
            yield from entries


def _answer(request_id: str, done: str | None, failed: str | None, row: str | None) -> dict[str, Any] | None:
    for text, status in ((done, "done"), (failed, "failed")):
        if text is not None:
            return {"request_id": request_id, "status": status, **_json_object(text)}
    if row is None:
        return None
    fields = _row(row)
    kept = ("attempt", "lost", "crashes", "batch", "reason", "queued_ms", "at_ms")
    return {
        "request_id": request_id,
        "status": fields.get("state"),
        "content_hash": fields.get("hash"),
        **{name: fields[name] for name in kept if name in fields},
    }


def _count(counters: dict[str, str], name: str) -> int:
    value = counters.get(name, "0")
    try:
        return int(value)
    except ValueError as error:
        raise QueueCorrupt(f"the counter {name} reads {value!r}, which is no number") from error


def _row(text: str) -> dict[str, Any]:
    """A row as the scripts read it: a number that is none is left out, for other hands can edit rows."""
    row = _json_object(text) or {"state": text}
    return {name: value for name, value in row.items() if name not in _NUMBERS or type(value) in (int, float)}


def _json_object(text: str | None) -> dict[str, Any]:
    """An object, or {} where the text is none: other programs write these keys too."""
    try:
        value = json.loads(text or "")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
