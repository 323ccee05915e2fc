"""Searching and renting: the asks.

Owns the search answers, what create checks, and how create fails.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ops.simulator import lifecycle
from ops.simulator.http_types import Answer, ApiError, Request
from ops.simulator.market import MOST_ROWS, Machine
from ops.simulator.query import QueryError, order, select
from ops.simulator.world import World

_CONTROL_FIELDS = ("order", "type", "limit", "allocated_storage", "select_cols", "client_id", "disable_bundling")
_KINDS = {
    "on-demand": "on-demand",
    "ondemand": "on-demand",
    "bid": "bid",
    "interruptible": "bid",
    "reserved": "on-demand",
}
_MOST_SCRIPT, _MOST_LABEL, _MOST_IMAGE, _MOST_ENV = 4096, 256, 1024, 32_768


def search(world: World, request: Request) -> Answer:
    """POST /bundles/"""
    return _search(world, request.body)


def search_asks(world: World, request: Request) -> Answer:
    """PUT /search/asks/"""
    query = request.body.get("q")
    if not isinstance(query, Mapping):
        raise ApiError(400, "invalid_args", "q is missing")
    return _search(world, query)


def _search(world: World, query: Mapping[str, Any]) -> Answer:
    kind = _KINDS.get(str(query.get("type", "on-demand")))
    if kind is None:
        raise ApiError(400, "invalid_args", f"type {query.get('type')!r} is unknown")
    filters = {field: wanted for field, wanted in query.items() if field not in _CONTROL_FIELDS}
    version = filters.get("driver_version")
    if isinstance(version, Mapping) and all(isinstance(one, int) for one in version.values()):
        filters["driver_vers"] = filters.pop("driver_version")
    try:
        storage = float(query.get("allocated_storage", 5.0))
        limit = min(int(query.get("limit") or MOST_ROWS), MOST_ROWS)
        columns = [(str(column), str(direction)) for column, direction in query.get("order", [["score", "desc"]])]
        rows = order(select(world.market.rows(kind, storage, world.clock.now()), filters), columns)
    except (QueryError, TypeError, ValueError) as error:
        raise ApiError(400, "invalid_args", str(error)) from None
    return Answer({"offers": rows[:limit], "success": True})


def create(world: World, request: Request) -> Answer:
    """PUT /asks/{id}/"""
    asked, ask_id = request.body, request.number()
    _check(asked)
    machine = world.market.find(ask_id)
    strikes = {one.fault: one.parameters for one in world.faults.strikes("create", None, _machine_id(machine))}
    if "ask_gone" in strikes:
        raise _ask_gone(ask_id, int(strikes["ask_gone"]["status"]))
    if machine is None:
        raise _ask_gone(ask_id, 410 if asked.get("cancel_unavail") else 404)
    if "insufficient_credit" in strikes or world.credit() <= 0:
        raise ApiError(400, "insufficient_credit", "Your account lacks credit; see the billing page.")
    if "spend_rate_limit" in strikes:
        raise ApiError(400, "spend_rate_limit", "Spend rate limit of new accounts exceeded.")
    if "create_refused" in strikes:
        return Answer({"success": False, "error": "create_failed", "msg": "The instance could not be created."})
    instance = world.rent(machine, asked)
    lifecycle.begin(world, instance)
    price = asked.get("price")
    too_low = price is not None and float(price) < machine.min_bid
    if too_low or "create_error_with_contract" in strikes:
        lifecycle.stop(world, instance)
        error, msg = "create_failed", "error 400/3603: the instance could not be started."
        if too_low:
            error, msg = "insufficient_bid", f"Bid of {price} is below the minimum of {machine.min_bid}."
        raise ApiError(400, error, msg, new_contract=instance.id)
    return Answer({"success": True, "new_contract": instance.id, "instance_api_key": instance.api_key})


def _machine_id(machine: Machine | None) -> int | None:
    return machine.machine_id if machine is not None else None


def _ask_gone(ask_id: int, status: int) -> ApiError:
    if status == 404:
        text = f"error 404/3603: no_such_ask Instance type by id {ask_id} is not available."
        return ApiError(404, "invalid_args", text)
    code = f"{status}/3907" if status == 410 else f"{status}/3603"
    return ApiError(status, "no_such_ask", f"error {code}: no_such_ask Instance type {ask_id} is no longer available.")


def _check(asked: Mapping[str, Any]) -> None:
    env = asked.get("env") or {}
    disk, price = asked.get("disk") or 10.0, asked.get("price")
    script = len(str(asked.get("onstart") or "")) + sum(len(str(one)) for one in asked.get("args") or [])
    problems = {
        "image is missing": not asked.get("image") and not asked.get("template_hash_id"),
        f"image is longer than {_MOST_IMAGE}": len(str(asked.get("image") or "")) > _MOST_IMAGE,
        f"label is longer than {_MOST_LABEL}": len(str(asked.get("label") or "")) > _MOST_LABEL,
        f"onstart and args are longer than {_MOST_SCRIPT}": script > _MOST_SCRIPT,
        "env is not a mapping": not isinstance(env, Mapping),
        f"env is longer than {_MOST_ENV}": len(str(env)) > _MOST_ENV,
        "disk is not a number of at least 8": not isinstance(disk, int | float) or disk < 8,
    }
    for problem, present in problems.items():
        if present:
            raise ApiError(400, "invalid_args", problem)
    if price is not None and (not isinstance(price, int | float) or not 0.001 <= price <= 128):
        raise ApiError(400, "invalid_price", "price is not from 0.001 to 128")
