"""One rented instance and the row in which the marketplace shows it.

Owns the facts of an instance and their wire format, quirks included. It decides nothing: `lifecycle` changes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ops.simulator.host import BoxHost
from ops.simulator.link import REFUSE
from ops.simulator.market import Machine, storage_dollars_an_hour


@dataclass
class Instance:
    """A contract: what was asked for, where it stands, and the box behind it."""

    id: int
    number: int
    machine: Machine
    created_at: float
    end_at: float
    asked: Mapping[str, Any]
    api_key: str
    disk_gb: float
    price: float | None
    label: str | None
    host: BoxHost
    faults: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    keys: dict[int, str] = field(default_factory=dict)
    status: str | None = None
    overlay: str | None = None
    status_msg: str | None = None
    intended: str = "running"
    cur_state: str = "running"
    next_state: str = "running"
    generation: int = 0
    running_since: float | None = None
    ports_listed: bool = False
    sshd_up: bool = False
    keys_accepted: bool = False
    reachable: bool = True
    outbid: bool = False
    lost: bool = False
    deleted: bool = False
    transferred: dict[str, int] = field(default_factory=lambda: {"upload": 0, "download": 0})
    billed_bytes: dict[str, int] = field(default_factory=lambda: {"upload": 0, "download": 0})

    @property
    def shown_status(self) -> str | None:
        """The `actual_status` that the marketplace shows."""
        return self.overlay or self.status

    @property
    def is_bid(self) -> bool:
        return self.price is not None

    @property
    def has_ssh(self) -> bool:
        """Whether the image is started with an SSH server."""
        return self.asked.get("runtype") != "args"

    def gpu_dollars_an_hour(self) -> float:
        """What the GPU costs while it runs."""
        return self.price if self.price is not None else self.machine.gpu_price

    def storage_dollars_an_hour(self) -> float:
        """What the disk costs while the instance exists."""
        return storage_dollars_an_hour(self.machine, self.disk_gb)

    def environment(self) -> dict[str, str]:
        """The container's environment: what was asked for, without the ports, and the marketplace's own."""
        asked = self.asked.get("env") or {}
        plain = {str(name): str(value) for name, value in asked.items() if not str(name).startswith("-")}
        own = {
            "CONTAINER_ID": str(self.id),
            "CONTAINER_API_KEY": self.api_key,
            "VAST_CONTAINERLABEL": f"C.{self.id}",
            "PUBLIC_IPADDR": "127.0.0.1",
        }
        return {**own, **plain}

    def gpu(self) -> dict[str, Any]:
        """What `nvidia-smi` finds."""
        row = self.machine.row
        wrong = self.faults.get("wrong_gpu")
        return {
            "name": wrong["name"] if wrong else row["gpu_name"],
            "ram_mb": int(wrong["ram_mb"]) if wrong else row["gpu_ram"],
            "count": row["num_gpus"],
            "driver": row["driver_version"],
            "cuda": str(row["cuda_max_good"]),
            "compute_cap": row["compute_cap"],
            "uuid": f"{self.machine.machine_id:08x}-5e1f-4b0c-9d2a-{self.number:012x}",
            "broken": False,
        }

    def row(self, now: float) -> dict[str, Any]:
        """The row of the show and list answers."""
        machine = self.machine.row
        running = self.status == "running"
        gpu = self.gpu()
        env = self.asked.get("env") or {}
        ports = None
        if running and self.has_ssh:
            ports = {"22/tcp": [{"HostIp": "0.0.0.0", "HostPort": str(self.host.direct.port)}]}
        total = self.gpu_dollars_an_hour() + self.storage_dollars_an_hour()
        copied = (
            "machine_id", "host_id", "bundle_id", "num_gpus", "gpu_frac", "gpu_arch", "gpu_mem_bw", "gpu_lanes",
            "compute_cap", "total_flops", "dlperf", "cuda_max_good", "driver_version", "cpu_arch", "cpu_cores",
            "cpu_cores_effective", "cpu_name", "cpu_ram", "disk_bw", "disk_name", "mobo_name", "pci_gen", "pcie_bw",
            "inet_down", "inet_up", "inet_down_cost", "inet_up_cost", "storage_cost", "reliability2", "geolocation",
            "verification", "hosting_type", "static_ip", "external", "webpage", "logo",
        )  # fmt: skip
        return {
            **{name: machine[name] for name in copied},
            "id": self.id, "label": self.label, "actual_status": self.shown_status, "intended_status": self.intended,
            "cur_state": self.cur_state, "next_state": self.next_state, "status_msg": self.status_msg,
            "image_uuid": self.asked.get("image"), "image_runtype": self.asked.get("runtype") or "ssh_proxy",
            "image_args": self.asked.get("args") or [], "onstart": self.asked.get("onstart"),
            "extra_env": [[str(name), str(value)] for name, value in env.items()],
            "ssh_host": "127.0.0.1", "ssh_port": self.host.proxy.port, "ssh_idx": "5",
            "public_ipaddr": "127.0.0.1\n", "local_ipaddrs": "172.17.0.2 \n",
            "ports": ports if self.ports_listed else ({} if running else None),
            "direct_port_start": self.host.direct.port if running else -1,
            "direct_port_end": self.host.direct.port if running else -1,
            "direct_port_count": 1 if running else 0, "machine_dir_ssh_port": self.host.direct.port,
            "gpu_name": gpu["name"], "gpu_ram": gpu["ram_mb"], "gpu_totalram": gpu["ram_mb"] * machine["num_gpus"],
            "gpu_util": 0.0 if running else None, "gpu_temp": 40.0 if running else None, "cpu_util": 0.0,
            "disk_space": self.disk_gb, "disk_usage": 0.5 if running else -1, "disk_util": -1,
            "dph_base": self.gpu_dollars_an_hour(), "dph_total": total,
            "storage_total_cost": self.storage_dollars_an_hour(), "min_bid": self.machine.min_bid,
            "is_bid": self.is_bid, "start_date": self.created_at, "end_date": self.end_at,
            "duration": max(0.0, self.end_at - now),
            "uptime_mins": (now - self.running_since) / 60 if self.running_since is not None else None,
            "jupyter_token": "", "template_id": None, "template_hash_id": self.asked.get("template_hash_id"),
            "template_name": None, "client_run_time": 1.1, "credit_balance": None, "rented": True,
            "time_remaining": "", "volume_info": None,
        }  # fmt: skip

    def direct_mode(self, default: str) -> str:
        """How the direct port behaves, given how a healthy one would."""
        for fault, mode in (("direct_black_hole", "black_hole"), ("direct_silent", "silent")):
            if fault in self.faults and default != REFUSE:
                return mode
        refused = "no_ports" in self.faults or "direct_refused" in self.faults
        return REFUSE if refused else default
