"""The machines for rent and the rows that a search shows of them.

Owns the seeded catalogue of machines, which ask belongs to which machine, and the price of an ask. An ask is used up by
renting it; when the machine is free again it is offered under a new number.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

HOURS_A_MONTH = 720.0
MOST_ROWS = 64
_FIRST_ASK = 30_000_000
_OFFER_SECONDS = 30 * 86_400.0

# name, MB, dollars an hour, dlperf, compute capability, watts, teraflops, GB/s
_CARDS: tuple[tuple[str, int, float, float, int, int, float, float], ...] = (
    ("RTX 3060", 12_288, 0.06, 12.0, 860, 170, 12.8, 320.0),
    ("RTX 3090", 24_576, 0.17, 28.0, 860, 350, 35.6, 850.0),
    ("RTX 4070", 12_282, 0.12, 26.0, 890, 200, 29.2, 480.0),
    ("RTX 4090", 24_564, 0.34, 92.0, 890, 450, 82.6, 930.0),
    ("RTX 5090", 32_607, 0.52, 130.0, 1200, 575, 104.8, 1500.0),
    ("RTX A6000", 49_140, 0.44, 40.0, 860, 300, 38.7, 700.0),
    ("L40S", 46_068, 0.65, 88.0, 890, 350, 91.6, 780.0),
    ("A100 SXM4", 81_920, 0.95, 105.0, 800, 400, 19.5, 1750.0),
    ("H100 SXM", 81_559, 1.95, 280.0, 900, 700, 66.9, 2900.0),
)
_PLACES = ("Texas, US", "Quebec, CA", "Sweden, SE", "Poland, PL", "Vietnam, VN", "Japan, JP", "Germany, DE", ", CN")


@dataclass
class Machine:
    """A host's machine: what it has, what it costs, and whether it is rented.

    `min_bid` is what an interruptible box on it must bid now; it rises when one is outbid.
    """

    machine_id: int
    ask_id: int
    row: dict[str, Any]
    gpu_price: float
    usual_min_bid: float
    min_bid: float = 0.0
    rented: bool = False


class Market:
    """All machines of a seed."""

    def __init__(self, seed: int, count: int, now: float) -> None:
        self._next_ask = _FIRST_ASK
        self._opened_at = now
        self.machines = [self._machine(number, random.Random(f"{seed}/machine/{number}")) for number in range(count)]

    def find(self, ask_id: int) -> Machine | None:
        """The machine offered under this number, rented or not."""
        return next((one for one in self.machines if one.ask_id == ask_id and not one.rented), None)

    def rent(self, machine: Machine) -> None:
        """Use up the machine's ask."""
        machine.rented = True

    def release(self, machine: Machine) -> None:
        """Offer the machine again, under a new number and at its usual price."""
        machine.min_bid = machine.usual_min_bid
        machine.rented = False
        self._next_ask += 1
        machine.ask_id = self._next_ask

    def rows(self, kind: str, storage_gb: float, now: float) -> list[dict[str, Any]]:
        """What a search sees, priced with `storage_gb` of disk; `kind` is on-demand, bid or reserved."""
        return [self.row(one, kind, storage_gb, now) for one in self.machines]

    def row(self, machine: Machine, kind: str, storage_gb: float, now: float) -> dict[str, Any]:
        """One machine as a search shows it."""
        gpu = machine.min_bid if kind == "bid" else machine.gpu_price
        total = gpu + storage_dollars_an_hour(machine, storage_gb)
        row = machine.row
        return {
            **row,
            "id": machine.ask_id,
            "ask_contract_id": machine.ask_id,
            "rented": machine.rented,
            "rentable": not machine.rented,
            "is_bid": kind == "bid",
            "dph_base": gpu,
            "dph_total": round(total, 6),
            "min_bid": round(machine.min_bid, 6),
            "storage_total_cost": storage_dollars_an_hour(machine, storage_gb),
            "duration": max(0.0, self._opened_at + _OFFER_SECONDS - now),
            "end_date": self._opened_at + _OFFER_SECONDS,
            "start_date": self._opened_at,
            "dlperf_per_dphtotal": row["dlperf"] / total,
            "flops_per_dphtotal": row["total_flops"] / total,
            "score": round(row["dlperf"] / total * row["reliability"], 3),
        }

    def _machine(self, number: int, dice: random.Random) -> Machine:
        name, ram, price, dlperf, capability, watts, flops, bandwidth = dice.choice(_CARDS)
        gpus = dice.choice((1, 1, 1, 1, 2, 4))
        machine_id = 10_001 + number * 7
        gpu_price = round(price * gpus * dice.uniform(0.8, 1.4), 4)
        self._next_ask += 1
        datacenter = dice.random() < 0.3
        cores = dice.choice((8, 16, 32, 64))
        row = {
            "machine_id": machine_id, "host_id": 5_000 + machine_id % 97, "bundle_id": machine_id * 3,
            "gpu_name": name, "num_gpus": gpus, "gpu_ram": ram, "gpu_total_ram": ram * gpus, "gpu_arch": "nvidia",
            "gpu_frac": 1.0, "gpu_mem_bw": bandwidth, "gpu_max_power": watts, "gpu_max_temp": 90,
            "gpu_display_active": False, "gpu_lanes": 16, "bw_nvlink": 0.0, "compute_cap": capability,
            "total_flops": flops * gpus, "dlperf": dlperf * gpus * dice.uniform(0.9, 1.05),
            "cuda_max_good": dice.choice((12.2, 12.4, 12.8, 13.0)), "driver_version": "550.127.05",
            "driver_vers": 550127005, "cpu_arch": "amd64", "cpu_cores": None if dice.random() < 0.05 else cores,
            "cpu_cores_effective": float(cores), "cpu_ghz": 3.5, "cpu_name": "AMD EPYC 7763", "has_avx": 1,
            "cpu_ram": 1000 * dice.choice((32, 64, 128, 256)), "disk_space": round(dice.uniform(60, 1500), 1),
            "disk_bw": round(dice.uniform(400, 5000), 1), "disk_name": "NVMe", "mobo_name": "X570", "pci_gen": 4.0,
            "pcie_bw": 24.0, "inet_down": round(dice.uniform(60, 5000), 1), "inet_up": round(dice.uniform(40, 2000), 1),
            "inet_down_cost": dice.choice((0.0, 0.002, 0.01)), "inet_up_cost": dice.choice((0.0, 0.004, 0.02)),
            "storage_cost": dice.choice((0.1, 0.15, 0.2, 0.33)), "reliability": round(1 - dice.random() ** 3 * 0.12, 6),
            "geolocation": dice.choice(_PLACES), "verified": dice.random() < 0.85, "external": False,
            "hosting_type": int(datacenter), "datacenter": datacenter, "static_ip": dice.random() < 0.7,
            "direct_port_count": dice.choice((0, 20, 100, 250)), "direct_port_start": -1, "direct_port_end": -1,
            "public_ipaddr": "127.0.0.1", "ubuntu_version": "22.04", "vms_enabled": False, "cluster_id": None,
            "logo": "", "webpage": None, "rentable": True, "resource_type": "gpu", "time_remaining": "",
            "nw_disk_min_bw": None, "nw_disk_avg_bw": None, "nw_disk_max_bw": None,
        }  # fmt: skip
        row["reliability2"] = row["reliability"]
        row["verification"] = "verified" if row["verified"] else "unverified"
        min_bid = round(gpu_price * dice.uniform(0.4, 0.7), 4)
        return Machine(machine_id, self._next_ask, row, gpu_price, min_bid, min_bid)


def storage_dollars_an_hour(machine: Machine, gigabytes: float) -> float:
    """What a disk of this size costs on this machine."""
    return float(machine.row["storage_cost"]) * gigabytes / HOURS_A_MONTH
