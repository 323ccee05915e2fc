"""Instances: showing, listing, changing and ending them."""

from __future__ import annotations

import base64
import binascii
from collections import Counter
from typing import Any

from ops.simulator import breakage, lifecycle
from ops.simulator.http_types import Answer, ApiError, Request
from ops.simulator.instance import Instance
from ops.simulator.query import QueryError, order, select
from ops.simulator.world import World

_MOST_A_PAGE = 25
_COMPUTED = ("dph_total", "num_gpus", "duration", "uptime_mins", "ports")
_MOST_LABEL = 1024


def find(world: World, request: Request) -> Instance:
    """The instance of the path; raises the marketplace's refusal when it is gone or not the caller's."""
    instance = world.instances.get(request.number())
    if instance is None:
        raise ApiError(404, "no_such_instance", f"Instance {request.number()} not found.")
    if request.own is not None and request.own is not instance:
        raise ApiError(403, "forbidden", "This key may only act on its own instance.")
    return instance


def show(world: World, request: Request) -> Answer:
    """GET /instances/{id}/"""
    instance = world.instances.get(request.number())
    if instance is None or not world.visible(instance, "show"):
        return Answer({"instances": None})
    find(world, request)
    return Answer({"instances": instance.row(world.clock.now())})


def list_pages(world: World, request: Request) -> Answer:
    """GET /api/v1/instances/"""
    filters = request.json_query("select_filters", {})
    columns = request.json_query("order_by", [{"col": "id", "dir": "asc"}])
    wanted = request.json_query("select_cols", None)
    for field in filters:
        if field in _COMPUTED:
            raise ApiError(400, "invalid_args", f"{field} is computed and cannot be filtered")
    limit = max(1, min(int(request.query.get("limit", _MOST_A_PAGE)), _MOST_A_PAGE))
    offset = _offset(request.query.get("after_token"))
    now = world.clock.now()
    rows = [one.row(now) for one in world.instances.values() if world.visible(one, "list")]
    try:
        chosen = order(select(rows, filters), [(one["col"], one.get("dir", "asc")) for one in columns])
    except (QueryError, KeyError, TypeError) as error:
        raise ApiError(400, "invalid_args", str(error)) from None
    page: list[dict[str, Any]] = [dict(row) for row in chosen[offset : offset + limit]]
    if wanted is not None and "*" not in wanted:
        page = [{name: row.get(name) for name in wanted} for row in page]
    more = offset + limit < len(chosen)
    labels = Counter(str(row["label"]) for row in chosen if row["label"] is not None)
    return Answer(
        {
            "success": True, "instances": page, "instances_found": len(page), "total_instances": len(chosen),
            "label_counts": dict(labels), "next_token": _token(offset + limit) if more else None,
        }
    )  # fmt: skip


def list_v0(_world: World, _request: Request) -> Answer:
    """GET /api/v0/instances/: answered 410 since the paged list came."""
    raise ApiError(410, "deprecated_endpoint", "This endpoint is gone; use /api/v1/instances/.")


def filters(_world: World, _request: Request) -> Answer:
    """GET /instances/filters/"""
    return Answer({"filters": []})


def change(world: World, request: Request) -> Answer:
    """PUT /instances/{id}/: start, stop or label."""
    instance = find(world, request)
    if "label" in request.body:
        label = request.body["label"]
        if label is not None and len(str(label)) > _MOST_LABEL:
            raise ApiError(400, "invalid_args", f"label is longer than {_MOST_LABEL}")
        instance.label = label
        return Answer({"success": True})
    return _set_state(world, instance, request.body.get("state"))


def change_many(world: World, request: Request) -> Answer:
    """PUT /instances/: start or stop several."""
    for instance_id in _ids(request):
        if instance_id in world.instances:
            _set_state(world, world.instances[instance_id], request.body.get("state"))
    return Answer({"success": True})


def _set_state(world: World, instance: Instance, state: Any) -> Answer:
    if state == "stopped":
        if instance.status != "exited" or instance.intended != "stopped":
            lifecycle.stop(world, instance)
        return Answer({"success": True})
    if state != "running":
        raise ApiError(400, "invalid_args", f"state {state!r} is neither running nor stopped")
    if lifecycle.start(world, instance):
        return Answer({"success": True})
    msg = "Required resources are currently unavailable, state change queued."
    return Answer({"success": False, "error": "resources_unavailable", "msg": msg})


def destroy(world: World, request: Request) -> Answer:
    """DELETE /instances/{id}/"""
    lifecycle.destroy(world, find(world, request))
    return Answer({"success": True})


def destroy_many(world: World, request: Request) -> Answer:
    """DELETE /instances/"""
    for instance_id in _ids(request):
        if instance_id in world.instances:
            lifecycle.destroy(world, world.instances[instance_id])
    return Answer({"success": True})


def reboot(world: World, request: Request) -> Answer:
    """PUT /instances/reboot/{id}/"""
    lifecycle.reboot(world, find(world, request), recycle=False)
    return Answer({"success": True})


def recycle(world: World, request: Request) -> Answer:
    """PUT /instances/recycle/{id}/"""
    lifecycle.reboot(world, find(world, request), recycle=True)
    return Answer({"success": True})


def change_bid(world: World, request: Request) -> Answer:
    """PUT /instances/bid_price/{id}/"""
    instance = find(world, request)
    price = request.body.get("price")
    if not instance.is_bid:
        raise ApiError(400, "invalid_args", "The instance is not interruptible.")
    if price is None:
        price = round(instance.machine.min_bid * 1.05, 4)
    most = 32 * int(instance.machine.row["num_gpus"])
    if not isinstance(price, int | float) or not 0.001 <= price <= most:
        raise ApiError(400, "invalid_price", f"price is not from 0.001 to {most}")
    instance.price = float(price)
    lifecycle.charge(world, instance)
    breakage.bid_again(world, instance)
    return Answer({"success": True})


def _ids(request: Request) -> list[int]:
    given = request.body.get("instance_ids", request.body.get("ids"))
    if request.own is not None:
        raise ApiError(403, "forbidden", "This key may only act on its own instance.")
    if not isinstance(given, list):
        raise ApiError(400, "invalid_args", "instance_ids is not a list")
    return [int(one) for one in given]


def _token(offset: int) -> str:
    return base64.urlsafe_b64encode(f"after:{offset}".encode()).decode()


def _offset(token: str | None) -> int:
    if not token:
        return 0
    try:
        return int(base64.urlsafe_b64decode(token).decode().removeprefix("after:"))
    except (binascii.Error, ValueError):
        raise ApiError(400, "invalid_args", "after_token is not one of ours") from None
