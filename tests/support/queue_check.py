"""The invariants of the job queue, read from the outside: every key is compared with the rows of the jobs.

Knows the protocol (docs/protocol.md), not the scripts. Used after every step of the state machine, and as the
key-leak check: `leaks` names the keys that outlived the jobs they were made for.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from lib.jobqueue.keys import Keys
from lib.jobqueue.states import (
    ALL,
    CANCELLED,
    DONE,
    FAILED,
    FINAL,
    HOLDING_ENTRY,
    IN_BATCH,
    OUTSTANDING,
    RETRYING,
    UPLOADING,
)


class QueueFacts:
    """One reading of every key of a queue."""

    def __init__(self, client: Any, keys: Keys) -> None:
        spools = sorted(client.smembers(keys.spools))
        pipe = client.pipeline(transaction=True)
        for one in (keys.index, keys.specs, keys.result, keys.failed, keys.counters, keys.batches_index):
            pipe.hgetall(one)
        for one in (keys.outstanding, keys.retry, keys.history_done, keys.history_failed):
            pipe.zrange(one, 0, -1, withscores=True)
        pipe.get(keys.first_queued)
        for one in (keys.jobs_stream, keys.batches_stream, *(keys.uploads_stream(spool) for spool in spools)):
            pipe.xrange(one)
        answer = iter(pipe.execute())
        self.index, self.specs, self.result, self.failed, self.counters, batches = (next(answer) for _ in range(6))
        zsets = (dict(next(answer)) for _ in range(4))
        self.outstanding, self.retry, self.history_done, self.history_failed = zsets
        self.first_queued = next(answer)
        self.jobs_stream = dict(next(answer))
        self.batches_stream = dict(next(answer))
        self.uploads = {spool: dict(next(answer)) for spool in spools}
        self.rows: dict[str, dict[str, Any]] = {
            id_: json.loads(text) for id_, text in self.index.items() if text.startswith("{")
        }
        self.batches: dict[str, dict[str, Any]] = {id_: json.loads(text) for id_, text in batches.items()}

    def ids(self, states: Collection[str]) -> set[str]:
        """The jobs that are in one of these states."""
        return {id_ for id_, row in self.rows.items() if row["state"] in states}


def problems(
    client: Any, keys: Keys, *, unread: Collection[str] = (), vanished: Collection[tuple[str, str]] = ()
) -> list[str]:
    """Every broken invariant.

    `unread`: entries of the jobs stream that no watcher has admitted; `vanished`: (stream, entry) pairs that a
    foreigner deleted.
    """
    facts = QueueFacts(client, keys)
    return [*_records(facts), *_indexes(facts), *_streams(facts, keys, set(unread), set(vanished))]


def _differ(what: str, have: object, want: object) -> list[str]:
    return [] if have == want else [f"{what}: is {have!r}, rows say {want!r}"]


def _records(facts: QueueFacts) -> list[str]:
    found = []
    for id_, row in facts.rows.items():
        if row["state"] not in ALL:
            found.append(f"{id_}: unknown state {row['state']}")
        if row["state"] in FINAL:
            kept = [name for name in ("entry", "batch", "stage", "uploads") if name in row]
            found += [f"{id_}: final, yet its row has {kept}"] if kept else []
        if row["state"] in IN_BATCH and id_ not in facts.batches.get(row["batch"], {}).get("ids", []):
            found.append(f"{id_}: its batch {row['batch']} does not name it")
    found += _differ("result", set(facts.result), facts.ids({DONE}))
    found += _differ("failed", set(facts.failed), facts.ids({FAILED, CANCELLED}))
    found += _differ("history of done", set(facts.history_done), facts.ids({DONE}))
    found += _differ("history of failed", set(facts.history_failed), facts.ids({FAILED, CANCELLED}))
    return found


def _indexes(facts: QueueFacts) -> list[str]:
    open_ = facts.ids(OUTSTANDING)
    found = _differ("specs", set(facts.specs), open_)
    found += _differ("outstanding", facts.outstanding, {id_: facts.rows[id_]["queued_ms"] for id_ in open_})
    found += _differ("retry set", set(facts.retry), facts.ids({RETRYING}))
    counted = {state: int(count) for state, count in facts.counters.items() if int(count)}
    found += _differ("counters", counted, dict(Counter(row["state"] for row in facts.rows.values())))
    oldest = min((facts.rows[id_]["queued_ms"] for id_ in open_), default=None)
    when = None if oldest is None else f"{datetime.fromtimestamp(oldest // 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"
    return found + _differ("first_queued", facts.first_queued, when)


def _streams(facts: QueueFacts, keys: Keys, unread: set[str], vanished: set[tuple[str, str]]) -> list[str]:
    have = {(keys.jobs_stream, entry) for entry in facts.jobs_stream}
    have |= {(keys.batches_stream, entry) for entry in facts.batches_stream}
    have |= {(keys.uploads_stream(spool), entry) for spool, entries in facts.uploads.items() for entry in entries}
    want = {(keys.jobs_stream, facts.rows[id_]["entry"]) for id_ in facts.ids(HOLDING_ENTRY)}
    want |= {(keys.jobs_stream, entry) for entry in unread}
    want |= {(keys.batches_stream, batch["entry"]) for batch in facts.batches.values()}
    uploading = (facts.rows[id_] for id_ in facts.ids({UPLOADING}))
    want |= {(keys.uploads_stream(row["uploads"]), row["stage"]) for row in uploading}
    found = [f"{stream} holds {entry}, which no row names" for stream, entry in sorted(have - want)]
    return found + [f"{stream} lacks {entry}" for stream, entry in sorted(want - have - vanished)]


def leaks(client: Any, keys: Keys) -> list[str]:
    """What should not be there once every job is settled: keys nobody knows, entries, leases, specs."""
    permanent = {
        *(keys.index, keys.jobs_stream, keys.batches_stream, keys.result, keys.failed, keys.spools, keys.workers),
        *(keys.history_done, keys.history_failed, keys.counters, keys.events, keys.watcher_lock),
        keys.watcher_heartbeat,
    }
    streams = {keys.jobs_stream, keys.batches_stream, *client.scan_iter(match=f"{keys.uploads_stream('*')}")}
    streams -= {keys.spools}
    found = [
        f"key {key} remains"
        for key in client.scan_iter()
        if key not in permanent | streams and not (key.startswith(keys.sweep("")) and client.pttl(key) > 0)
    ]
    for stream in sorted(streams):
        if not client.exists(stream):
            continue
        if client.xlen(stream):
            found.append(f"{stream} still has entries")
        found += [f"{stream} has pending entries" for group in client.xinfo_groups(stream) if group["pending"]]
    return found
