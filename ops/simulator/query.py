"""The marketplace's query language: which rows a filter keeps, and in which order.

Owns the operators, the reading of values that arrive as strings, and the ordering. Pure. It refuses an unknown operator
or a value that cannot be compared, as the marketplace answers 400 to them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any


class QueryError(Exception):
    """A filter or an order that makes no sense; the message names the field."""


_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "gt": lambda left, right: left > right,
    "gte": lambda left, right: left >= right,
    "lt": lambda left, right: left < right,
    "lte": lambda left, right: left <= right,
}


def select(rows: Sequence[Mapping[str, Any]], filters: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The rows that pass every operator of every field."""
    checked = {field: _operators(field, wanted) for field, wanted in filters.items()}
    return [row for row in rows if all(_passes(row, field, ops) for field, ops in checked.items())]


def order(rows: Sequence[Mapping[str, Any]], columns: Sequence[tuple[str, str]]) -> list[Mapping[str, Any]]:
    """The rows ordered by the columns, first the most important; empty values come last."""
    ordered = list(rows)
    for column, direction in reversed(columns):
        if direction not in ("asc", "desc"):
            raise QueryError(f"order: {direction!r} is neither asc nor desc")
        present = [row for row in ordered if row.get(column) is not None]
        absent = [row for row in ordered if row.get(column) is None]
        try:
            present.sort(key=lambda row, column=column: row[column], reverse=direction == "desc")  # type: ignore[misc]
        except TypeError:
            raise QueryError(f"order: {column} cannot be ordered") from None
        ordered = present + absent
    return ordered


def _operators(field: str, wanted: Any) -> Mapping[str, Any]:
    operators = wanted if isinstance(wanted, Mapping) else {"eq": wanted}
    for name, value in operators.items():
        if name not in ("eq", "neq", "in", "notin", *_COMPARISONS):
            raise QueryError(f"{field}: unknown operator {name!r}")
        if name in ("in", "notin") and not isinstance(value, list):
            raise QueryError(f"{field}: {name} needs a list")
    return operators


def _passes(row: Mapping[str, Any], field: str, operators: Mapping[str, Any]) -> bool:
    value = row.get(field)
    return all(_holds(field, name, value, wanted) for name, wanted in operators.items())


def _holds(field: str, name: str, value: Any, wanted: Any) -> bool:
    if name == "eq":
        return _same(field, value, wanted)
    if name == "neq":
        return not _same(field, value, wanted)
    if name == "in":
        return any(_same(field, value, one) for one in wanted)
    if name == "notin":
        return not any(_same(field, value, one) for one in wanted)
    if value is None or wanted is None:
        return False
    if isinstance(value, int | float):
        return _COMPARISONS[name](value, _as_number(field, wanted))
    return _COMPARISONS[name](str(value), str(wanted))


def _same(field: str, value: Any, wanted: Any) -> bool:
    if value is None or wanted is None:
        return value is None and wanted is None
    if isinstance(value, bool):
        return value == _as_bool(field, wanted)
    if isinstance(value, int | float):
        return value == _as_number(field, wanted)
    if field == "geolocation" and isinstance(wanted, str) and len(wanted) == 2:
        return str(value).rpartition(", ")[2] == wanted
    return str(value) == str(wanted)


def _as_number(field: str, wanted: Any) -> float:
    try:
        return float(wanted)
    except (TypeError, ValueError):
        raise QueryError(f"{field}: {wanted!r} is not a number") from None


def _as_bool(field: str, wanted: Any) -> bool:
    known = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}
    text = str(wanted).lower()
    if text not in known:
        raise QueryError(f"{field}: {wanted!r} is neither true nor false")
    return known[text]
