"""One consumer's view of one work stream: reading, taking back, renewing, reclaiming. Settling is in `store`."""

from __future__ import annotations

import random
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lib.errors import LeaseLost
from lib.jobqueue.keys import Keys
from lib.jobqueue.messages import Entry
from lib.redisio import Client, Scripts, create_group, translated

_LUA = Path(__file__).parent / "lua"


class WorkStream:
    """A stream, its consumer group, and this consumer. One live process per consumer name."""

    def __init__(self, client: Client, keys: Keys, name: str, group: str, consumer: str) -> None:
        self.name = name
        self.group = group
        self.consumer = consumer
        self._client: Any = client
        self._sweep_key = keys.sweep(name)
        self._scripts = Scripts(client, _LUA)
        self._cursor = "0-0"

    def ensure(self) -> None:
        """Create stream and group where they are missing; repeat it after every reconnect."""
        with translated():
            known = {row["name"] for row in self._groups()}
        if self.group not in known:  # a Redis at its memory limit refuses to create even what is there
            create_group(self._client, self.name, self.group)

    def _groups(self) -> list[dict[str, Any]]:
        if not self._client.exists(self.name):
            return []
        return list(self._client.xinfo_groups(self.name))

    def read(self, count: int, block_ms: int) -> list[Entry]:
        """Take up to `count` entries nobody has read yet, waiting up to `block_ms` for the first (0: do not wait)."""
        with translated():
            answer = self._client.xreadgroup(
                self.group, self.consumer, {self.name: ">"}, count=count, block=block_ms or None
            )
        return [Entry(id_, fields or {}) for _, entries in answer or [] for id_, fields in entries]

    def own(self, count: int, after: str = "-") -> tuple[list[Entry], str]:
        """Return a page of what this consumer holds already, and where the next page begins ('' at the end)."""
        ids, following = self.own_ids(count, after)
        return self._bodies(ids), following

    def take_over(self, count: int, after: str = "0-0") -> tuple[list[Entry], str]:
        """Claim what any consumer holds, at once: for the holder of the lock. Pages like `own`."""
        with translated():
            cursor, ids = self._autoclaim(0, after, count)
        return self._bodies(ids), "" if cursor == "0-0" else cursor

    def reclaim(self, min_idle_ms: int, count: int, every_ms: int) -> list[Entry]:
        """Claim entries whose holder has been silent for `min_idle_ms`.

        One sweeper at a time, by a key that expires after `every_ms` (with jitter) and so paces the fleet; a cursor is
        kept between calls. For one lease after a start of Redis nobody reclaims: while it was away, no holder could
        renew.
        """
        pace = int(every_ms * random.uniform(0.75, 1.25))  # noqa: S311 - jitter, no secret
        value = f"{self.consumer} {secrets.token_hex(8)}"
        if not self._scripts.call("sweep", [self._sweep_key], [value, max(pace, 1)]):
            return []
        with translated():
            if self._client.info("server")["uptime_in_seconds"] * 1000 < min_idle_ms:
                return []
            self._cursor, ids = self._autoclaim(min_idle_ms, self._cursor, count)
        return self._bodies(ids)

    def _autoclaim(self, min_idle_ms: int, start: str, count: int) -> tuple[str, list[str]]:
        args: list[str | int] = [self.group, self.consumer, min_idle_ms, start, count]
        answer = self._scripts.call("autoclaim", [self.name], args)
        return str(answer[0]), [str(one) for one in answer[1]]

    def own_ids(self, count: int, after: str = "-") -> tuple[list[str], str]:
        """Return a page of the ids this consumer holds, and where the next page begins ('' at the end)."""
        start = "-" if after == "-" else f"({after}"
        with translated():
            rows = self._client.xpending_range(
                self.name, self.group, min=start, max="+", count=count, consumername=self.consumer
            )
        ids = [str(row["message_id"]) for row in rows]
        return ids, ids[-1] if len(ids) == count else ""

    def fetch(self, ids: Sequence[str]) -> list[Entry]:
        """Fetch entries this consumer holds by their ids; those that vanished are acknowledged."""
        return [entry for at in range(0, len(ids), 250) for entry in self._bodies(ids[at : at + 250])]

    def length(self) -> int:
        """How many entries lie on the stream."""
        with translated():
            return int(self._client.xlen(self.name))

    def delivered(self) -> str:
        """The id of the last entry that the group has ever read; "0-0" for a new or a missing one."""
        with translated():
            for row in self._groups():
                if row["name"] == self.group:
                    return str(row["last-delivered-id"])
        return "0-0"

    def page(self, count: int, after: str = "-", upto: str = "+") -> tuple[list[Entry], str]:
        """Return a page of the stream itself, whoever holds it, and where the next page begins ('' at the end)."""
        start = "-" if after == "-" else f"({after}"
        with translated():
            rows = self._client.xrange(self.name, min=start, max=upto, count=count)
        entries = [Entry(id_, fields or {}) for id_, fields in rows]
        return entries, entries[-1].id if len(entries) == count else ""

    def adopt(self, lock_key: str, lock: str, ids: Sequence[str]) -> set[str]:
        """Claim delivered entries, whoever holds them, while the lock reads `lock`; return those ours now.

        Raises:
            LeaseLost: the lock's value is no longer `lock`.
        """
        args = [lock, self.group, self.consumer, *ids]
        answer = self._scripts.call("adopt", [self.name, lock_key], args)
        if answer[0] == "lost":
            raise LeaseLost("the watcher's lock is another's")
        return {str(one) for one in answer[1:]}

    def _bodies(self, ids: Sequence[str]) -> list[Entry]:
        """Fetch entries by id. Those that vanished are acknowledged; the audit puts their jobs back from their rows."""
        if not ids:
            return []
        with translated():
            pipe = self._client.pipeline(transaction=False)
            for one in ids:
                pipe.xrange(self.name, one, one)
            found = pipe.execute()
            gone = [one for one, rows in zip(ids, found, strict=True) if not rows]
            if gone:
                self._client.xack(self.name, self.group, *gone)
        return [Entry(rows[0][0], rows[0][1]) for rows in found if rows]

    def renew(self, ids: Sequence[str]) -> set[str]:
        """Renew the lease on entries; return those that are no longer ours."""
        lost: set[str] = set()
        for at in range(0, len(ids), 500):
            part = list(ids[at : at + 500])
            lost.update(self._scripts.call("renew", [self.name], [self.group, self.consumer, *part]))
        return lost

    def drop(self, ids: Sequence[str]) -> None:
        """Acknowledge and delete foreign entries that carry no job."""
        if not ids:
            return
        with translated():
            pipe = self._client.pipeline(transaction=True)
            pipe.xack(self.name, self.group, *ids)
            pipe.xdel(self.name, *ids)
            pipe.execute()
