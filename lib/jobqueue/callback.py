"""`callback_data`: a JSON object that travels with a job and comes back in its record. Pure.

Refuses whatever JSON could not carry unchanged (dates, other keys than text, NaN, half surrogate pairs), and more than
64 KiB of it; the path to the fault is named.
"""

from __future__ import annotations

import re

from lib.jobqueue.fields import describe, shorten

MAX_CALLBACK_BYTES = 64 * 1024
MAX_CALLBACK_DEPTH = 32

_SURROGATE = r"[\ud800-\udfff]"


def callback_data(value: object) -> dict[str, object]:
    """Return a copy of a JSON object of JSON values; the path is named where it holds anything else."""
    if type(value) is not dict:
        raise ValueError(f"must be a mapping, not {describe(value)}; write key: value pairs")
    copy, size = _json_copy(value, "", 0)
    if size > MAX_CALLBACK_BYTES:
        raise ValueError(f"is larger than {MAX_CALLBACK_BYTES // 1024} KiB; keep a reference instead of the data")
    assert isinstance(copy, dict)
    return copy


def _json_copy(value: object, path: str, depth: int) -> tuple[object, int]:
    """Return (copy, size in bytes as JSON, roughly); stops early when too large."""
    kind = type(value)
    if kind is str:
        assert isinstance(value, str)
        return value, _json_string(value, path)
    if value is None or kind is bool:
        return value, 5
    if kind is int:
        assert isinstance(value, int)
        if not -(2**63) <= value < 2**63:
            raise ValueError(f"{_at(path)}the number does not fit in 64 bits; write it in quotes")
        return value, 20
    if kind is float:
        assert isinstance(value, float)
        if value != value or value in (float("inf"), float("-inf")):
            raise ValueError(f"{_at(path)}{value} is not JSON; write a finite number or null")
        return value, 24
    if depth >= MAX_CALLBACK_DEPTH:
        raise ValueError(f"{_at(shorten(path))}nested more than {MAX_CALLBACK_DEPTH} deep; flatten it")
    if kind is dict:
        assert isinstance(value, dict)
        return _json_object(value, path, depth)
    if kind is list:
        assert isinstance(value, list)
        return _json_list(value, path, depth)
    raise ValueError(f"{_at(path)}{describe(value)} is not JSON; put it in quotes")


def _json_object(value: dict[object, object], path: str, depth: int) -> tuple[object, int]:
    copy: dict[str, object] = {}
    size = 2
    for key, item in value.items():
        if type(key) is not str:
            raise ValueError(f"{_at(path)}the key {shorten(repr(key))} is not text; put it in quotes")
        size += _json_string(key, path) + 2
        copy[key], item_size = _json_copy(item, f"{path}.{key}" if path else key, depth + 1)
        size += item_size
        if size > MAX_CALLBACK_BYTES:
            break
    return copy, size


def _json_list(value: list[object], path: str, depth: int) -> tuple[object, int]:
    copy: list[object] = []
    size = 2
    for position, item in enumerate(value):
        one, item_size = _json_copy(item, f"{path}[{position}]", depth + 1)
        copy.append(one)
        size += item_size + 1
        if size > MAX_CALLBACK_BYTES:
            break
    return copy, size


def _json_string(value: str, path: str) -> int:
    if not value.isascii() and re.search(_SURROGATE, value):
        raise ValueError(f"{_at(path)}half a surrogate pair is not JSON; remove it")
    return len(value.encode()) + 2


def _at(path: str) -> str:
    return f"{path}: " if path else ""
