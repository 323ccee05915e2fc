"""The life of a box: from rented to running, stopped, broken and gone.

Owns every change of an instance's state, when it happens, and which meters run meanwhile. All of it is called with the
world's lock held. `breakage` adds the faults that come later in a life.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable

from ops.simulator import breakage
from ops.simulator.fault_list import PULL_ERRORS
from ops.simulator.instance import Instance
from ops.simulator.link import BLACK_HOLE, HANG_UP, OPEN, REFUSE
from ops.simulator.scenario import BootTimes
from ops.simulator.world import World

_log = logging.getLogger(__name__)
_LAYERS = ("Pulling fs layer", "Waiting", "Downloading", "Verifying Checksum", "Download complete", "Pull complete")
_RESTART_SHARE = 0.1


def begin(world: World, instance: Instance) -> None:
    """Start the life of a new instance: it bills storage from now on and boots unless a fault holds it."""
    instance.host.set_gpu(instance.gpu())
    charge(world, instance)
    breakage.arm_contract(world, instance)
    if "stuck_null" not in instance.faults:
        boot(world, instance, 1.0)


def stages(times: BootTimes, dice: random.Random, share: float) -> tuple[float, float, float]:
    """Seconds until a box is created, loading and running; `share` shortens them where the image is already there."""
    created = dice.uniform(*times.null_seconds) * share
    loading = created + dice.uniform(*times.created_seconds) * share
    return created, loading, loading + dice.uniform(*times.loading_seconds) * share


def dice_of(seed: int, number: int, generation: int) -> random.Random:
    """The chances of one boot: the same for the n-th box of a seed, another one for each start of it."""
    return random.Random(f"{seed}/boot/{number}/{generation}")


def boot(world: World, instance: Instance, share: float) -> None:
    """Go through the stages to running, as far as the box's faults let it."""
    dice = dice_of(world.scenario.seed, instance.number, instance.generation)
    created, loading, running = stages(world.scenario.boot, dice, share)
    instance.cur_state = instance.next_state = instance.intended = "running"
    later(world, instance, created, lambda: _created(instance))
    if "oci_failed" in instance.faults:
        return
    later(world, instance, loading, lambda: _loading(instance, 0))
    if "image_error" in instance.faults:
        later(world, instance, loading + (running - loading) / 2, lambda: _image_error(instance))
        return
    if "stuck_loading" in instance.faults:
        return
    for step in range(1, len(_LAYERS)):
        at = loading + (running - loading) * step / len(_LAYERS)
        later(world, instance, at, lambda step=step: _loading(instance, step))  # type: ignore[misc]
    later(world, instance, running, lambda: _running(world, instance, dice))


def later(world: World, instance: Instance, seconds: float, act: Callable[[], None]) -> None:
    """Let something happen after `seconds` of the marketplace's time, unless the box stops before."""
    generation = instance.generation

    def due() -> None:
        with world.lock:
            if not instance.deleted and instance.generation == generation:
                act()

    world.scheduler.after(world.clock.shortened(seconds), due)


def _created(instance: Instance) -> None:
    instance.status = "created"
    if "oci_failed" in instance.faults:
        instance.status_msg = "Error: OCI runtime create failed: runc create failed: unable to start container process"


def _loading(instance: Instance, step: int) -> None:
    instance.status = "loading"
    layer = random.Random(f"layer/{instance.number}/{step}").randbytes(6).hex()
    instance.status_msg = f"{layer}: {_LAYERS[step]}\n"


def _image_error(instance: Instance) -> None:
    text = PULL_ERRORS[instance.faults["image_error"]["text"]]
    instance.status_msg = text.format(image=instance.asked.get("image")) + "\n"


def _running(world: World, instance: Instance, dice: random.Random) -> None:
    disk = instance.faults.get("full_disk")
    try:
        instance.host.start(int(disk["free_bytes"]) if disk else None, lambda: _keeper_died(world, instance))
    except (RuntimeError, OSError) as error:
        instance.status_msg = f"Error: {error}"
        _log.error("box %d did not start: %s", instance.id, error)
        return
    instance.status = "running"
    image = instance.asked.get("image")
    instance.status_msg = f"success, running {image}/{'ssh' if instance.has_ssh else 'args'}\n"
    instance.running_since = world.clock.now()
    charge(world, instance)
    _run_onstart(instance)
    _open_for_connections(world, instance, dice)
    breakage.arm(world, instance)


def _run_onstart(instance: Instance) -> None:
    script = instance.asked.get("onstart")
    if not script or not instance.has_ssh:
        return
    host = instance.host
    # With a disk of its own the home is a mount that only the box sees.
    file = host.folder / ("hidden/onstart.sh" if "full_disk" in instance.faults else "home/onstart.sh")
    file.write_text(host.on_the_box(str(script)))
    host.run(["/bin/bash", str(file)], instance.environment(), host.log, lambda _status: None)


def _open_for_connections(world: World, instance: Instance, dice: random.Random) -> None:
    if not instance.has_ssh:
        return
    times, faults = world.scenario.boot, instance.faults
    ports = dice.uniform(*times.ports_seconds) + _extra(instance, "ports_late")
    sshd = dice.uniform(*times.sshd_seconds) + _extra(instance, "sshd_late")
    keys = sshd + dice.uniform(*times.key_seconds) + _extra(instance, "key_late")
    if "no_ports" not in faults:
        later(world, instance, ports, lambda: _list_ports(instance))
    later(world, instance, sshd, lambda: _sshd_up(instance))
    later(world, instance, keys, lambda: _accept_keys(instance))


def _extra(instance: Instance, fault: str) -> float:
    return float(instance.faults[fault]["seconds"]) if fault in instance.faults else 0.0


def _list_ports(instance: Instance) -> None:
    instance.ports_listed = True


def _sshd_up(instance: Instance) -> None:
    instance.sshd_up = True
    instance.host.serve_ssh(wrong_key="wrong_host_key" in instance.faults)
    set_links(instance)


def _accept_keys(instance: Instance) -> None:
    instance.keys_accepted = True
    instance.host.set_keys(list(instance.keys.values()))


def _keeper_died(world: World, instance: Instance) -> None:
    with world.lock:
        if not instance.deleted and instance.status == "running":
            halt(world, instance, "exited")


def set_links(instance: Instance) -> None:
    """Let both ports behave as the box's state and faults say."""
    host, faults = instance.host, instance.faults
    for link in (host.direct, host.proxy):
        link.bytes_per_second = faults["slow_link"]["bytes_per_second"] if "slow_link" in faults else None
        link.cut_after_bytes = faults["link_cut"]["after_bytes"] if "link_cut" in faults else None
    if instance.lost or not instance.reachable:
        host.open_links(BLACK_HOLE, HANG_UP)
    elif not instance.sshd_up:
        host.open_links(REFUSE, HANG_UP)
    else:
        host.open_links(instance.direct_mode(OPEN), HANG_UP if "proxy_refuses" in faults else OPEN)


def charge(world: World, instance: Instance) -> None:
    """Run the meters that belong to the instance's present state, and no other."""
    now = world.clock.now()
    online = instance.reachable and not instance.lost and not instance.deleted
    rates = {
        "gpu": instance.gpu_dollars_an_hour() if online and instance.status == "running" else None,
        "storage": instance.storage_dollars_an_hour() if online else None,
    }
    for kind, rate in rates.items():
        if rate is None:
            world.ledger.stop(instance.id, kind, now)
        else:
            world.ledger.start(instance.id, kind, rate, now)


def charge_transfers(world: World, instance: Instance) -> None:
    """Bill the bytes that came and went since the last time."""
    row, now = instance.machine.row, world.clock.now()
    for kind, cost in (("download", "inet_down_cost"), ("upload", "inet_up_cost")):
        fresh = instance.transferred[kind] - instance.billed_bytes[kind]
        instance.billed_bytes[kind] += fresh
        world.ledger.transfer(instance.id, kind, fresh, row[cost], now)


def halt(world: World, instance: Instance, status: str) -> None:
    """End everything on the box and leave it with this status; its disk stays."""
    instance.generation += 1
    instance.status, instance.overlay = status, None
    instance.running_since = None
    instance.ports_listed = instance.sshd_up = instance.keys_accepted = False
    charge(world, instance)
    instance.host.stop()
    instance.host.set_keys([])
    charge_transfers(world, instance)


def stop(world: World, instance: Instance, intended: str = "stopped") -> None:
    """Stop a box, as its renter or the scheduler does."""
    halt(world, instance, "exited")
    instance.intended, instance.cur_state, instance.next_state = intended, "stopped", "stopped"
    instance.status_msg = "stopped\n"


def start(world: World, instance: Instance) -> bool:
    """Start a stopped box again; False when the machine has no room for it."""
    if instance.status == "running" and not instance.lost:
        return True
    refused = {"start_refused", "reclaimed"} & instance.faults.keys()
    if refused or instance.lost or instance.outbid or world.credit() <= 0:
        return False
    if "ports_change" in instance.faults:
        instance.host.new_direct_port()
    instance.generation += 1
    instance.status = "loading"
    boot(world, instance, _RESTART_SHARE)
    return True


def reboot(world: World, instance: Instance, recycle: bool) -> None:
    """Restart the container, or make it anew: an empty home and another host key."""
    halt(world, instance, "loading" if recycle else "rebooting")
    if recycle:
        instance.host.recreate_home()
    boot(world, instance, _RESTART_SHARE)


def destroy(world: World, instance: Instance) -> None:
    """End the contract: no process, no port, no file and no cost is left of it."""
    instance.generation += 1
    instance.deleted = True
    charge(world, instance)
    instance.host.destroy()
    charge_transfers(world, instance)
    world.gone(instance)
