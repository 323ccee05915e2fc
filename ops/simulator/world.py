"""Everything the simulated marketplace knows: machines, instances, keys, money.

Owns the lock under which all of it changes, renting and finding, and the end of it all. It refuses to know HTTP (the
routes) and what happens to a box after it was rented (`lifecycle`).
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ops.simulator.clock import Clock
from ops.simulator.faults import FaultPlan
from ops.simulator.host import BoxHost
from ops.simulator.instance import Instance
from ops.simulator.ledger import Ledger
from ops.simulator.market import Machine, Market
from ops.simulator.scenario import Scenario
from ops.simulator.scheduler import Scheduler
from ops.simulator.tools import Tools

_FIRST_INSTANCE = 20_000_000
_CONTRACT_SECONDS = 30 * 86_400.0


class World:
    """One marketplace."""

    def __init__(self, scenario: Scenario, tools: Tools, folder: Path) -> None:
        self.scenario = scenario
        self.tools = tools
        self.folder = folder
        self.lock = threading.RLock()
        self.clock = Clock(scenario.speed)
        self.started_at = self.clock.now()
        self.scheduler = Scheduler()
        self.faults = FaultPlan(scenario.seed, self.clock.now)
        for rule in scenario.faults:
            self.faults.add(rule)
        self.ledger = Ledger(folder / "ledger.jsonl")
        self.market = Market(scenario.seed, scenario.machines, self.started_at)
        self.instances: dict[int, Instance] = {}
        self.past: list[dict[str, Any]] = []
        self.account_keys: dict[int, dict[str, Any]] = {}
        self.deposited = scenario.credit
        self._numbers = 0
        self._key_numbers = 0

    def credit(self) -> float:
        """Dollars left to spend."""
        return self.deposited - self.ledger.total(self.clock.now())

    def rent(self, machine: Machine, asked: Mapping[str, Any]) -> Instance:
        """Make a contract for a machine; `lifecycle.begin` or `lifecycle.stop` says what becomes of it."""
        self._numbers += 1
        number = self._numbers
        instance_id = _FIRST_INSTANCE + number
        faults = {strike.fault: strike.parameters for strike in self.faults.strikes("box", None, machine.machine_id)}
        disk_gb = float(asked.get("disk") or 10.0)
        if "small_disk" in faults:
            disk_gb *= float(faults["small_disk"]["fraction"])
        transferred = {"upload": 0, "download": 0}
        counting = threading.Lock()

        def count(kind: str, size: int) -> None:
            with counting:
                transferred[kind] += size

        now = self.clock.now()
        price = asked.get("price")
        instance = Instance(
            id=instance_id, number=number, machine=machine, created_at=now, end_at=now + _CONTRACT_SECONDS,
            asked=dict(asked), api_key=self._container_key(instance_id), disk_gb=disk_gb,
            price=float(price) if price is not None else None, label=asked.get("label"),
            host=BoxHost(self.folder / f"box-{instance_id}", self.tools, count), faults=faults,
            keys={key_id: key["public_key"] for key_id, key in self.account_keys.items()}, transferred=transferred,
        )  # fmt: skip
        self.market.rent(machine)
        self.instances[instance_id] = instance
        return instance

    def gone(self, instance: Instance) -> None:
        """Forget a destroyed instance but for what it was and cost."""
        now = self.clock.now()
        del self.instances[instance.id]
        self.market.release(instance.machine)
        self.past.append(
            {
                "id": instance.id, "label": instance.label, "machine_id": instance.machine.machine_id,
                "gpu_name": instance.machine.row["gpu_name"], "created_at": instance.created_at, "destroyed_at": now,
                "amount": self.ledger.total(now, instance.id),
            }
        )  # fmt: skip

    def visible(self, instance: Instance, where: str) -> bool:
        """Whether `show` or `list` knows the instance yet."""
        lag = instance.faults.get("invisible")
        if lag is None or lag["where"] not in ("both", where):
            return True
        return self.clock.now() - instance.created_at >= self.clock.shortened(lag["seconds"])

    def new_key_id(self) -> int:
        """A number for an SSH key."""
        self._key_numbers += 1
        return 600_000 + self._key_numbers

    def owner_of(self, api_key: str) -> Instance | None:
        """The instance whose restricted key this is."""
        return next((one for one in self.instances.values() if one.api_key == api_key), None)

    def _container_key(self, instance_id: int) -> str:
        return hashlib.sha256(f"{self.scenario.seed}/{self.scenario.api_key}/{instance_id}".encode()).hexdigest()
