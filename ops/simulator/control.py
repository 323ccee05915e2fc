"""The simulator's own side: what it knows, and how faults are caused while it runs.

Owns the paths outside the API: the page (`/`), everything as JSON (`/simulator`), rules (`/simulator/faults`), a box's
faults (`/simulator/boxes/ID/faults`) and the credit. Changes need `Content-Type: application/json`, which a page of
another site cannot send unasked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.message import Message
from typing import Any

from ops.simulator import breakage
from ops.simulator.fault_list import FAULTS
from ops.simulator.faults import FaultError, rule_from
from ops.simulator.http_types import Answer, ApiError
from ops.simulator.instance import Instance
from ops.simulator.page import PAGE
from ops.simulator.world import World

_RULE = re.compile(r"/simulator/faults/(\d+)")
_BOX = re.compile(r"/simulator/boxes/(\d+)/faults")


class Control:
    """Answers what is not part of the marketplace's API."""

    def __init__(self, world: World) -> None:
        self._world = world

    def answer(self, method: str, path: str, headers: Message, body: Mapping[str, Any]) -> Answer:
        """Route one call; every refusal says what is possible."""
        if method == "GET" and path == "/":
            return Answer(text=PAGE, headers={"Content-Type": "text/html; charset=utf-8"})
        if method == "GET" and path in ("/simulator", "/simulator/"):
            with self._world.lock:
                return Answer(state(self._world))
        if method != "GET" and headers.get_content_type() != "application/json":
            raise ApiError(415, "invalid_args", "changes need Content-Type: application/json")
        try:
            return self._change(method, path, body)
        except (FaultError, breakage.CannotCauseError) as error:
            raise ApiError(400, "invalid_args", str(error)) from None

    def _change(self, method: str, path: str, body: Mapping[str, Any]) -> Answer:
        world = self._world
        rule, box = _RULE.fullmatch(path), _BOX.fullmatch(path)
        if path == "/simulator/faults" and method == "POST":
            check_possible(world, body)
            return Answer({"id": world.faults.add(body).id})
        if path == "/simulator/faults" and method == "DELETE":
            return Answer({"removed": world.faults.remove()})
        if rule and method == "DELETE":
            return Answer({"removed": world.faults.remove(int(rule[1]))})
        if path == "/simulator/credit" and method == "PUT":
            return self._set_credit(body)
        if box and method in ("POST", "DELETE"):
            with world.lock:
                instance = world.instances.get(int(box[1]))
                if instance is None:
                    raise ApiError(404, "no_such_instance", f"there is no box {box[1]}")
                if method == "DELETE":
                    breakage.heal(instance)
                else:
                    wanted = rule_from(body, 0)
                    given = dict(wanted.parameters)
                    if "after_seconds" in given and "after_seconds" not in body:
                        given["after_seconds"] = 0.0
                    breakage.cause(world, instance, wanted.fault, given)
            return Answer({"success": True})
        raise ApiError(404, "not_found", f"nothing is at {method} {path}; docs/simulator.md lists what is")

    def _set_credit(self, body: Mapping[str, Any]) -> Answer:
        credit = body.get("credit")
        if isinstance(credit, bool) or not isinstance(credit, int | float):
            raise ApiError(400, "invalid_args", "credit is not a number")
        world = self._world
        with world.lock:
            world.deposited += credit - world.credit()
            return Answer({"credit": world.credit()})


def check_possible(world: World, rule: Mapping[str, Any]) -> None:
    """Refuse a fault that this machine cannot cause; raises FaultError."""
    if rule.get("fault") == "full_disk" and not world.tools.own_mounts:
        raise FaultError(
            "full_disk: this machine does not let us mount a small disk (it needs `unshare` and the right to mount:"
            " root with CAP_SYS_ADMIN, or user namespaces)"
        )


def state(world: World) -> dict[str, Any]:
    """Boxes, money and faults, as data."""
    now = world.clock.now()
    bill = world.ledger.bill(now)
    boxes = [_box(one, bill.get(one.id, {}), now) for one in world.instances.values()]
    return {
        "now": now,
        "started_at": world.started_at,
        "speed": world.scenario.speed,
        "seed": world.scenario.seed,
        "ssh_user": world.tools.login,
        "boxes": boxes,
        "past_boxes": [{**one, "bill": bill.get(one["id"], {})} for one in world.past],
        "money": {
            "credit": world.credit(),
            "spent": world.ledger.total(now),
            "dollars_an_hour": world.ledger.dollars_an_hour(),
        },
        "machines": {
            "total": len(world.market.machines),
            "rented": sum(one.rented for one in world.market.machines),
        },
        "faults": world.faults.as_data(),
        "possible_faults": {
            name: {"decided_at": fault.moment, "about": fault.about, "parameters": dict(fault.parameters)}
            for name, fault in FAULTS.items()
        },
    }


def _box(instance: Instance, bill: Mapping[str, Any], now: float) -> dict[str, Any]:
    return {
        "id": instance.id,
        "label": instance.label,
        "machine_id": instance.machine.machine_id,
        "gpu_name": instance.machine.row["gpu_name"],
        "actual_status": instance.shown_status,
        "status_msg": instance.status_msg,
        "intended_status": instance.intended,
        "is_bid": instance.is_bid,
        "age_seconds": now - instance.created_at,
        "running_seconds": now - instance.running_since if instance.running_since is not None else None,
        "direct_port": instance.host.direct.port,
        "proxy_port": instance.host.proxy.port,
        "sshd_up": instance.sshd_up,
        "keys_accepted": instance.keys_accepted,
        "faults": {name: dict(parameters) for name, parameters in instance.faults.items()},
        "bill": dict(bill),
    }
