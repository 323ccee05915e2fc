"""What a simulated marketplace is like: seed, speed, money, machines, boot times and faults.

Owns the scenario file's fields, their bounds and their messages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from ops.simulator.faults import FaultError, rule_from


class ScenarioError(Exception):
    """A scenario that makes no sense; the message says where."""


@dataclass(frozen=True)
class BootTimes:
    """The seconds of each stage of a boot, as [least, most]; the seed draws from between."""

    null_seconds: tuple[float, float] = (1.0, 4.0)
    created_seconds: tuple[float, float] = (1.0, 3.0)
    loading_seconds: tuple[float, float] = (40.0, 80.0)
    ports_seconds: tuple[float, float] = (0.0, 3.0)
    sshd_seconds: tuple[float, float] = (1.0, 5.0)
    key_seconds: tuple[float, float] = (0.0, 8.0)


@dataclass(frozen=True)
class Scenario:
    """Everything that can be said about a simulated marketplace."""

    seed: int = 1
    speed: float = 1.0
    credit: float = 25.0
    machines: int = 80
    api_key: str = ""  # empty: a new one at each start
    pacing: bool = True
    boot: BootTimes = field(default_factory=BootTimes)
    faults: tuple[Mapping[str, Any], ...] = ()


_BOUNDS: dict[str, tuple[type, float, float]] = {
    "seed": (int, 0, 2**63),
    "speed": (float, 0.01, 10_000),
    "credit": (float, -1e6, 1e6),
    "machines": (int, 1, 2_000),
}


def read_scenario(file: Path) -> Scenario:
    """Read a scenario file; raises ScenarioError."""
    try:
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ScenarioError(f"{file}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{file}: not YAML: {error}") from None
    try:
        return scenario_from(data if data is not None else {})
    except ScenarioError as error:
        raise ScenarioError(f"{file}: {error}") from None


def scenario_from(data: Any) -> Scenario:
    """Check the fields of a scenario; raises ScenarioError."""
    if not isinstance(data, Mapping):
        raise ScenarioError("a scenario is a mapping of fields, such as `speed: 60`")
    known = [one.name for one in fields(Scenario)]
    unknown = [str(name) for name in data if name not in known]
    if unknown:
        raise ScenarioError(f"{unknown[0]}: no such field; possible are {', '.join(known)}")
    checked = dict(data)
    for name, (kind, low, high) in _BOUNDS.items():
        if name in data:
            checked[name] = _number(name, data[name], kind, low, high)
    if not isinstance(data.get("api_key", "x"), str) or not data.get("api_key", "x"):
        raise ScenarioError("api_key: not a text")
    if not isinstance(data.get("pacing", True), bool):
        raise ScenarioError("pacing: neither true nor false")
    checked["boot"] = _boot_times(data.get("boot", {}))
    checked["faults"] = _faults(data.get("faults", []))
    return Scenario(**checked)


def _number(name: str, value: Any, kind: type, low: float, high: float) -> Any:
    if isinstance(value, bool) or not isinstance(value, int if kind is int else (int, float)):
        raise ScenarioError(f"{name}: {value!r} is not {'a whole number' if kind is int else 'a number'}")
    if not low <= value <= high:
        raise ScenarioError(f"{name}: {value!r} is not from {low:g} to {high:g}")
    return value


def _boot_times(data: Any) -> BootTimes:
    known = [one.name for one in fields(BootTimes)]
    if not isinstance(data, Mapping) or any(name not in known for name in data):
        raise ScenarioError(f"boot: a mapping with some of {', '.join(known)}")
    times = {}
    for name, value in data.items():
        pair = value if isinstance(value, list) else [value, value]
        if len(pair) != 2:
            raise ScenarioError(f"boot: {name}: a number of seconds, or [least, most]")
        low, high = (float(_number(f"boot: {name}", one, float, 0, 1e6)) for one in pair)
        if low > high:
            raise ScenarioError(f"boot: {name}: {low:g} is more than {high:g}")
        times[name] = (low, high)
    return BootTimes(**times)


def _faults(data: Any) -> tuple[Mapping[str, Any], ...]:
    if not isinstance(data, list) or not all(isinstance(one, Mapping) for one in data):
        raise ScenarioError("faults: a list of mappings, each with `fault: NAME`")
    for number, one in enumerate(data, 1):
        try:
            rule_from(one, number)
        except FaultError as error:
            raise ScenarioError(f"faults, item {number}: {error}") from None
    return tuple(data)
