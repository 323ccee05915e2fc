"""The query language: values that arrive as strings, lists, nulls, and order."""

from __future__ import annotations

from typing import Any

import pytest

from ops.simulator.query import QueryError, order, select

ROWS: list[dict[str, Any]] = [
    {"id": 1, "gpu": "RTX 4090", "price": 0.5, "verified": True, "label": None, "geolocation": "Texas, US"},
    {"id": 2, "gpu": "H100 SXM", "price": 2.0, "verified": False, "label": "lab", "geolocation": ", CN"},
    {"id": 3, "gpu": "RTX 3090", "price": None, "verified": True, "label": "lab", "geolocation": "Sweden, SE"},
]


@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        ({}, [1, 2, 3]),
        ({"id": {"eq": "2"}}, [2]),
        ({"id": 2}, [2]),
        ({"price": {"lt": "0.6"}}, [1]),
        ({"price": {"gte": 0.5, "lte": "2"}}, [1, 2]),
        ({"price": {"gt": 0}}, [1, 2]),
        ({"gpu": {"in": ["RTX 4090", "RTX 3090"]}}, [1, 3]),
        ({"gpu": {"notin": ["RTX 4090"]}}, [2, 3]),
        ({"id": {"notin": ["1", "2"]}}, [3]),
        ({"verified": {"eq": True}}, [1, 3]),
        ({"verified": {"eq": "false"}}, [2]),
        ({"label": {"eq": None}}, [1]),
        ({"label": {"neq": None}}, [2, 3]),
        ({"label": {"in": [None, "lab"]}}, [1, 2, 3]),
        ({"geolocation": {"notin": ["CN", "VN"]}}, [1, 3]),
        ({"geolocation": {"eq": "Texas, US"}}, [1]),
    ],
)
def test_filters_keep_the_right_rows(filters: dict[str, Any], ids: list[int]) -> None:
    assert [row["id"] for row in select(ROWS, filters)] == ids


@pytest.mark.parametrize(
    "filters",
    [{"id": {"like": 1}}, {"id": {"in": 1}}, {"id": {"eq": "many"}}, {"verified": {"eq": "perhaps"}}],
)
def test_what_cannot_be_compared_is_refused_by_name(filters: dict[str, Any]) -> None:
    with pytest.raises(QueryError, match=next(iter(filters))):
        select(ROWS, filters)


def test_order_goes_by_several_columns_with_empty_values_last() -> None:
    assert [row["id"] for row in order(ROWS, [("price", "desc")])] == [2, 1, 3]
    assert [row["id"] for row in order(ROWS, [("price", "asc")])] == [1, 2, 3]
    assert [row["id"] for row in order(ROWS, [("verified", "desc"), ("gpu", "asc")])] == [3, 1, 2]
    with pytest.raises(QueryError):
        order(ROWS, [("price", "down")])
