"""Reaching a box and the account: SSH keys, logs, commands, user, charges."""

from __future__ import annotations

import base64
import binascii
import json
import secrets
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from ops.simulator import lifecycle
from ops.simulator.http_types import Answer, ApiError, Request
from ops.simulator.instance import Instance
from ops.simulator.ledger import Entry
from ops.simulator.routes_instances import find
from ops.simulator.world import World

_KEY_TYPES = ("ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521")
_MOST_COMMAND = 512
_RESULT_SECONDS = 1.0


@dataclass
class Result:
    """A text that can be fetched without a key once it is ready."""

    ready_at: float
    text: Callable[[], str | None]


class Results:
    """The texts that `result_url`s lead to."""

    def __init__(self) -> None:
        self._by_token: dict[str, Result] = {}

    def add(self, world: World, request: Request, text: Callable[[], str | None]) -> str:
        """Keep a text; returns its absolute URL."""
        token = secrets.token_urlsafe(18)
        ready_at = world.clock.now() + world.clock.shortened(_RESULT_SECONDS)
        self._by_token[token] = Result(ready_at, text)
        return f"{request.base_url}/results/{token}"

    def get(self, token: str, now: float) -> str | None:
        """The text, or None while it is not ready."""
        result = self._by_token.get(token)
        return result.text() if result is not None and now >= result.ready_at else None


def add_key(world: World, request: Request) -> Answer:
    """POST /ssh/"""
    key = _public_key(request.body.get("ssh_key"))
    known = next((one for one in world.account_keys.values() if one["public_key"] == key), None)
    if known is None:
        known = {
            "id": world.new_key_id(), "user_id": 1, "key": key, "public_key": key, "created_at": world.clock.now(),
            "deleted_at": None,
        }  # fmt: skip
        world.account_keys[known["id"]] = known
    return Answer({"success": True, "key": known})


def list_keys(world: World, _request: Request) -> Answer:
    """GET /ssh/"""
    return Answer(list(world.account_keys.values()))


def update_key(world: World, request: Request) -> Answer:
    """PUT /ssh/{id}/"""
    known = _account_key(world, request)
    known["key"] = known["public_key"] = _public_key(request.body.get("ssh_key"))
    return Answer({"success": True, "key": known})


def delete_key(world: World, request: Request) -> Answer:
    """DELETE /ssh/{id}/"""
    del world.account_keys[_account_key(world, request)["id"]]
    return Answer({"success": True})


def attach_key(world: World, request: Request) -> Answer:
    """POST /instances/{id}/ssh/: accepted by the box a while later."""
    instance = find(world, request)
    key = _public_key(request.body.get("ssh_key"))
    if key not in instance.keys.values():
        instance.keys[world.new_key_id()] = key
    if instance.keys_accepted:
        late = world.scenario.boot.key_seconds[1]
        lifecycle.later(world, instance, late, lambda: instance.host.set_keys(list(instance.keys.values())))
    return Answer({"success": True, "msg": "SSH key added to instance."})


def instance_keys(world: World, request: Request) -> Answer:
    """GET /instances/{id}/ssh/: a JSON list inside a string, as it is."""
    keys = [{"id": key_id, "public_key": key} for key_id, key in find(world, request).keys.items()]
    return Answer({"success": True, "ssh_keys": json.dumps(keys)})


def detach_key(world: World, request: Request) -> Answer:
    """DELETE /instances/{id}/ssh/{key}/"""
    instance = find(world, request)
    if instance.keys.pop(request.number("key"), None) is None:
        raise ApiError(404, "no_such_key", "The key is not on this instance.")
    if instance.keys_accepted:
        instance.host.set_keys(list(instance.keys.values()))
    return Answer({"success": True})


def logs(world: World, request: Request, results: Results) -> Answer:
    """PUT /instances/request_logs/{id}/"""
    instance = find(world, request)
    if str(request.body.get("daemon_logs", "")).lower() == "true":
        text = f"{instance.status_msg or ''}"
    else:
        text = instance.host.log.read_text(encoding="utf-8", errors="replace")
    lines = text.splitlines(keepends=True)
    wanted = request.body.get("filter")
    if wanted:
        lines = [line for line in lines if str(wanted) in line]
    tail = str(request.body.get("tail") or 1000)
    if not tail.isdigit():
        raise ApiError(400, "invalid_args", "tail is not a number")
    kept = "".join(lines[-int(tail) :] if int(tail) else [])
    return Answer({"success": True, "result_url": results.add(world, request, lambda: kept)})


def execute(world: World, request: Request, results: Results) -> Answer:
    """PUT /instances/command/{id}/: ls, rm or du, within the home."""
    instance = find(world, request)
    argv = _confined(instance, request.body.get("command"))
    if instance.status != "running":
        raise ApiError(400, "invalid_state", "The instance is not running.")
    output = instance.host.folder / "hidden" / f"command-{secrets.token_hex(8)}"
    finished: list[int] = []
    instance.host.run(argv, {}, output, finished.append)

    def text() -> str | None:
        return output.read_text(encoding="utf-8", errors="replace") if finished and output.exists() else None

    url = results.add(world, request, text)
    return Answer({"success": True, "result_url": url, "writeable_path": str(instance.host.folder / "home")})


def user(world: World, _request: Request) -> Answer:
    """GET /users/current"""
    credit = round(world.credit(), 6)
    return Answer(
        {
            "id": 1, "username": "simulated", "email": "simulated@localhost", "api_key": world.scenario.api_key,
            "credit": credit, "balance": 0.0, "balance_threshold": 0.0, "can_pay": True, "has_billing": True,
            "billaddress_country": "", "ssh_key": "", "got_signup_credit": 0.0,
        }
    )  # fmt: skip


def charges(world: World, request: Request) -> Answer:
    """GET /charges/"""
    day = request.json_query("select_filters", {}).get("day")
    if not isinstance(day, dict) or not {"gte", "lte"} <= day.keys():
        raise ApiError(400, "invalid_args", "select_filters needs a range of day")
    now = world.clock.now()
    by_instance: dict[int, list[Entry]] = {}
    for entry in world.ledger.entries(now):
        if float(day["gte"]) <= entry.start <= float(day["lte"]) + 86_400:
            by_instance.setdefault(entry.instance_id, []).append(entry)
    rows = [_charge(world, instance_id, entries) for instance_id, entries in by_instance.items()]
    rows.sort(key=lambda row: row["start"], reverse=request.query.get("latest_first") == "true")
    limit = max(1, min(int(request.query.get("limit", 20)), 100))
    after = int(request.query.get("after_token") or 0)
    page = rows[after : after + limit]
    token = str(after + limit) if after + limit < len(rows) else None
    return Answer({"success": True, "results": page, "count": len(page), "total": len(rows), "next_token": token})


def invoices(_world: World, _request: Request) -> Answer:
    """GET /api/v1/invoices/: nothing was ever paid here."""
    return Answer({"success": True, "results": [], "count": 0, "total": 0, "next_token": None})


def gpu_names(world: World, _request: Request) -> Answer:
    """GET /gpu_names/unique/, which the CLI asks for at every start, without a key"""
    return Answer({"gpu_names": sorted({one.row["gpu_name"] for one in world.market.machines})})


def gpu_types(_world: World, _request: Request) -> Answer:
    """GET /gpu_types/"""
    return Answer({"gpu_types": []})


def _charge(world: World, instance_id: int, entries: list[Entry]) -> dict[str, Any]:
    instance = world.instances.get(instance_id)
    past = next((one for one in world.past if one["id"] == instance_id), {})
    names = {"gpu": "gpu", "storage": "disk", "download": "bwd", "upload": "bwu"}
    items: dict[str, dict[str, Any]] = {}
    for entry in entries:
        kind = names[entry.kind]
        item = items.setdefault(
            kind, {"type": kind, "amount": 0.0, "start": entry.start, "end": entry.end, "source": None,
                   "description": f"{entry.seconds:.3f} s", "metadata": {}, "items": []},
        )  # fmt: skip
        item["amount"] += entry.amount
        item["end"] = max(item["end"], entry.end)
    return {
        "type": "instance", "source": f"instance-{instance_id}", "description": f"Instance {instance_id}",
        "amount": sum(entry.amount for entry in entries), "start": min(entry.start for entry in entries),
        "end": max(entry.end for entry in entries),
        "metadata": {"label": instance.label if instance is not None else past.get("label")},
        "items": list(items.values()),
    }  # fmt: skip


def _account_key(world: World, request: Request) -> dict[str, Any]:
    known = world.account_keys.get(request.number())
    if known is None:
        raise ApiError(404, "no_such_key", f"SSH key {request.number()} not found.")
    return known


def _public_key(text: Any) -> str:
    words = str(text or "").split()
    if len(words) < 2 or words[0] not in _KEY_TYPES:
        raise ApiError(400, "invalid_args", "ssh_key is not a public SSH key")
    try:
        base64.b64decode(words[1], validate=True)
    except binascii.Error:
        raise ApiError(400, "invalid_args", "ssh_key is not a public SSH key") from None
    return " ".join(words)


def _confined(instance: Instance, command: Any) -> list[str]:
    """The command with every path inside the box's home, which is its whole file system here."""
    text = str(command or "")
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ApiError(400, "invalid_args", f"command: {error}") from None
    if not words or words[0] not in ("ls", "rm", "du") or len(text) > _MOST_COMMAND:
        raise ApiError(400, "invalid_args", "command must be ls, rm or du of at most 512 characters")
    home = instance.host.folder / "home"
    argv = [words[0]]
    for word in words[1:]:
        if ".." in PurePosixPath(word).parts:
            raise ApiError(400, "invalid_args", "command: paths with .. are refused")
        if word.startswith("/"):
            inside = word.removeprefix(str(home)).removeprefix("/root").lstrip("/")
            word = str(home / inside)
        argv.append(word)
    return argv
