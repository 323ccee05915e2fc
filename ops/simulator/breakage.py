"""The faults that come later in a box's life.

Owns what each timed fault does to a running box, and the faults that are caused by hand. It is the part of `lifecycle`
that a healthy marketplace would not have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ops.simulator import lifecycle
from ops.simulator.instance import Instance
from ops.simulator.world import World

_DELETED_AFTER_SECONDS = 48 * 3600.0
_Act = Callable[[World, Instance, Mapping[str, Any]], None]


class CannotCauseError(Exception):
    """A fault that cannot be caused on this box now."""


def arm(world: World, instance: Instance) -> None:
    """Set the clock of every timed fault of a box that runs now."""
    for fault, parameters in instance.faults.items():
        if fault in _TIMED:
            _arm_one(world, instance, fault, parameters)


def arm_contract(world: World, instance: Instance) -> None:
    """Let the contract end at its date: stopped, and deleted two days later."""
    seconds = (instance.end_at - world.clock.now()) * world.clock.speed
    deleted_after = _DELETED_AFTER_SECONDS
    if "short_contract" in instance.faults:
        seconds = instance.faults["short_contract"]["seconds"]
        deleted_after = instance.faults["short_contract"]["deleted_after_seconds"]
        instance.end_at = world.clock.now() + world.clock.shortened(seconds)
    whenever(world, instance, seconds, lambda: lifecycle.stop(world, instance))
    whenever(world, instance, seconds + deleted_after, lambda: lifecycle.destroy(world, instance))


def whenever(world: World, instance: Instance, seconds: float, act: Callable[[], None]) -> None:
    """Let something happen after `seconds` of the marketplace's time, whether the box was stopped meanwhile or not."""

    def due() -> None:
        with world.lock:
            if not instance.deleted:
                act()

    world.scheduler.after(world.clock.shortened(seconds), due)


def cause(world: World, instance: Instance, fault: str, parameters: Mapping[str, Any]) -> None:
    """Cause a fault on a box by hand, now (or after its `after_seconds`); raises CannotCauseError."""
    if instance.status != "running":
        raise CannotCauseError(f"box {instance.id} is {instance.shown_status}, not running")
    if fault in _TIMED:
        if fault == "outbid" and not instance.is_bid:
            raise CannotCauseError(f"box {instance.id} is not interruptible: it cannot be outbid")
        instance.faults[fault] = parameters
        _arm_one(world, instance, fault, parameters)
    elif fault in _AT_ONCE:
        instance.faults[fault] = parameters
        if fault == "wrong_gpu":
            instance.host.set_gpu(instance.gpu())
        lifecycle.set_links(instance)
        if fault == "wrong_host_key" and instance.sshd_up:
            instance.host.serve_ssh(wrong_key=True)
    else:
        raise CannotCauseError(f"{fault} is decided when a box is rented: add it as a rule")
    world.faults.note(fault, f"box {instance.id}, by hand")


def heal(instance: Instance) -> None:
    """Take every fault of the connection off a box."""
    for fault in _AT_ONCE:
        instance.faults.pop(fault, None)
    if instance.sshd_up:
        instance.host.serve_ssh()
    instance.host.set_gpu(instance.gpu())
    lifecycle.set_links(instance)


def _arm_one(world: World, instance: Instance, fault: str, parameters: Mapping[str, Any]) -> None:
    act = _TIMED[fault]
    lifecycle.later(
        world, instance, float(parameters.get("after_seconds", 0.0)), lambda: act(world, instance, parameters)
    )


def _exit(world: World, instance: Instance, _parameters: Mapping[str, Any]) -> None:
    lifecycle.halt(world, instance, "exited")
    instance.status_msg = "container exited\n"


def _offline(world: World, instance: Instance, parameters: Mapping[str, Any]) -> None:
    instance.overlay, instance.reachable = parameters["status"], False
    lifecycle.charge(world, instance)
    lifecycle.set_links(instance)
    whenever(world, instance, parameters["for_seconds"], lambda: _online(world, instance))


def _online(world: World, instance: Instance) -> None:
    if not instance.lost:
        instance.overlay, instance.reachable = None, True
        lifecycle.charge(world, instance)
        lifecycle.set_links(instance)


def _flicker(world: World, instance: Instance, parameters: Mapping[str, Any]) -> None:
    instance.overlay = "loading"
    lifecycle.later(world, instance, parameters["for_seconds"], lambda: _steady(instance))


def _steady(instance: Instance) -> None:
    if instance.overlay == "loading":
        instance.overlay = None


def _outbid(world: World, instance: Instance, parameters: Mapping[str, Any]) -> None:
    if instance.price is None:
        return
    former = instance.machine.min_bid
    instance.machine.min_bid = round(max(former, instance.price) * 1.25, 4)
    instance.outbid = True
    del instance.faults["outbid"]  # once a rule: a box that goes on is not outbid again at once
    lifecycle.stop(world, instance, parameters["intended"])
    if parameters["for_seconds"] is not None:
        whenever(world, instance, parameters["for_seconds"], lambda: _cheaper(world, instance, former))


def _cheaper(world: World, instance: Instance, min_bid: float) -> None:
    instance.machine.min_bid = min_bid
    bid_again(world, instance)


def bid_again(world: World, instance: Instance) -> None:
    """Let an outbid box go on, if its bid now wins."""
    if instance.outbid and instance.price is not None and instance.price >= instance.machine.min_bid:
        instance.outbid = False
        lifecycle.start(world, instance)


def _lose(world: World, instance: Instance, _parameters: Mapping[str, Any]) -> None:
    instance.lost = True
    lifecycle.halt(world, instance, "offline")
    lifecycle.set_links(instance)


def _reclaim(world: World, instance: Instance, _parameters: Mapping[str, Any]) -> None:
    lifecycle.stop(world, instance, "running")


def _lose_keys(_world: World, instance: Instance, _parameters: Mapping[str, Any]) -> None:
    instance.keys.clear()
    instance.host.lose_keys()


def _change_host_key(_world: World, instance: Instance, _parameters: Mapping[str, Any]) -> None:
    instance.host.new_host_key()


def _cut(_world: World, instance: Instance, _parameters: Mapping[str, Any]) -> None:
    instance.host.direct.cut()
    instance.host.proxy.cut()


def _break_gpu(_world: World, instance: Instance, _parameters: Mapping[str, Any]) -> None:
    instance.host.set_gpu({**instance.gpu(), "broken": True})


_TIMED: Mapping[str, _Act] = {
    "exited": _exit,
    "offline": _offline,
    "flicker": _flicker,
    "outbid": _outbid,
    "box_lost": _lose,
    "reclaimed": _reclaim,
    "key_vanishes": _lose_keys,
    "host_key_changes": _change_host_key,
    "link_cut_once": _cut,
    "broken_gpu": _break_gpu,
}
_AT_ONCE = (
    "direct_refused", "direct_black_hole", "direct_silent", "proxy_refuses", "wrong_host_key", "slow_link", "link_cut",
    "wrong_gpu", "start_refused",
)  # fmt: skip
