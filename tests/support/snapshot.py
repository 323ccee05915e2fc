"""All that a Redis holds, as plain data, so that a test can say "nothing changed".

Owns the reading only. JSON objects are compared as objects: Lua does not keep the order of their fields.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def snapshot(client: Any) -> dict[str, Any]:
    """Every key with its value; a stream with its entries and, by group, who holds which of them."""
    keys = sorted(client.scan_iter(count=1000))
    pipe = client.pipeline(transaction=False)
    for key in keys:
        pipe.type(key)
    kinds = pipe.execute()
    for key, kind in zip(keys, kinds, strict=True):
        if kind == "hash":
            pipe.hgetall(key)
        elif kind == "zset":
            pipe.zrange(key, 0, -1, withscores=True)
        elif kind == "set":
            pipe.smembers(key)
        elif kind == "list":
            pipe.lrange(key, 0, -1)
        elif kind == "stream":
            pipe.xrange(key)
        else:
            pipe.get(key)
    values = pipe.execute()
    found: dict[str, Any] = {}
    for key, kind, value in zip(keys, kinds, values, strict=True):
        if kind == "hash":
            found[key] = {field: _plain(text) for field, text in value.items()}
        elif kind == "stream":
            found[key] = {"entries": value, "held": _held(client, key)}
        else:
            found[key] = value
    return found


def _plain(text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, dict) else text


def _held(client: Any, stream: str) -> dict[str, list[tuple[str, str]]]:
    held = {}
    for group in client.xinfo_groups(stream):
        rows = client.xpending_range(stream, group["name"], "-", "+", 10_000) if group["pending"] else []
        held[group["name"]] = [(row["message_id"], row["consumer"]) for row in rows]
    return held


_MOVING = re.compile(
    r"\b\d{13}-\d+\b|\b\d{13}(?:\.\d+)?\b|\b\d{10}\.\d+\b|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ|\b[0-9a-f]{32}\b"
)


def timeless(value: object) -> str:
    """The same as text, with entry ids, times and tokens masked, to compare two runs of the same story."""
    return _MOVING.sub("T", json.dumps(value, sort_keys=True, default=_as_json))


def _as_json(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    assert isinstance(value, set | frozenset), f"no plain data: {value!r}"
    return sorted(value)


@contextmanager
def unchanged(client: Any) -> Iterator[None]:
    """Assert that what is done inside changes nothing in Redis."""
    before = snapshot(client)
    yield
    after = snapshot(client)
    assert after == before, f"{_differing(before, after)} changed"


def _differing(before: dict[str, Any], after: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    keys = sorted(before.keys() | after.keys())
    return {key: (before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key)}
