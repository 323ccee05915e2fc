"""Which fault strikes when: rules, counted and seeded.

Owns the rules in force, their counters and the diary of what struck. The decision for the n-th occasion of a rule
depends on the seed, the rule and n alone, so a run with the same requests in the same order has the same faults. It
knows nothing of what a fault does: `fault_list` describes the kinds, the routes and the life of a box carry them out.
"""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ops.simulator.fault_list import ENDPOINTS, FAULTS


class FaultError(Exception):
    """A rule that makes no sense; the message says which field and what is possible."""


@dataclass
class Rule:
    """One fault, when it strikes, and its parameters."""

    id: int
    fault: str
    probability: float = 1.0
    occasions: tuple[int, ...] = ()
    times: int | None = None
    from_seconds: float = 0.0
    until_seconds: float | None = None
    endpoint: str | None = None
    machine_id: int | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    seen: int = 0
    struck: int = 0


@dataclass(frozen=True)
class Strike:
    """A fault that happens now, with all its parameters."""

    fault: str
    parameters: Mapping[str, Any]


def rule_from(fields: Mapping[str, Any], rule_id: int) -> Rule:
    """Check one mapping of a scenario or of the control page."""
    name = fields.get("fault")
    if not isinstance(name, str) or name not in FAULTS:
        raise FaultError(f"fault: {name!r} is not one of {', '.join(sorted(FAULTS))}")
    kind = FAULTS[name]
    rule = Rule(rule_id, name, parameters=dict(kind.parameters))
    for key, value in fields.items():
        where = f"{name}: {key}"
        if key == "fault":
            continue
        if key in kind.parameters:
            rule.parameters[key] = _parameter(kind.parameters[key], value, kind.choices.get(key), where)
        elif key == "probability":
            rule.probability = _number(value, where, 0.0, 1.0)
        elif key == "occasions":
            rule.occasions = _occasions(value, where)
        elif key == "times" or (key == "machine_id" and kind.moment != "request"):
            setattr(rule, key, int(_number(value, where, 1)))
        elif key in ("from_seconds", "until_seconds"):
            setattr(rule, key, _number(value, where, 0.0))
        elif key == "endpoint" and kind.moment == "request":
            if value not in ENDPOINTS:
                raise FaultError(f"{where}: {value!r} is not one of {', '.join(ENDPOINTS)}")
            rule.endpoint = value
        else:
            possible = [*kind.parameters, "probability", "occasions", "times", "from_seconds", "until_seconds"]
            possible += ["endpoint"] if kind.moment == "request" else ["machine_id"]
            raise FaultError(f"{where}: no such field; possible are {', '.join(possible)}")
    return rule


def _parameter(default: Any, value: Any, choices: tuple[Any, ...] | None, where: str) -> Any:
    if choices is not None:
        if value not in choices:
            raise FaultError(f"{where}: {value!r} is not one of {', '.join(map(str, choices))}")
        return value
    if isinstance(default, str):
        if not isinstance(value, str):
            raise FaultError(f"{where}: {value!r} is not text")
        return value
    if value is None and default is None:
        return None
    return _number(value, where, 0.0)


def _number(value: Any, where: str, low: float, high: float = 1e12) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise FaultError(f"{where}: {value!r} is not a number from {low:g} to {high:g}")
    return value


def _occasions(value: Any, where: str) -> tuple[int, ...]:
    numbers = value if isinstance(value, list) else [value]
    return tuple(int(_number(number, where, 1)) for number in numbers)


class FaultPlan:
    """The rules in force and the diary of what struck."""

    def __init__(self, seed: int, now: Callable[[], float]) -> None:
        self._seed = seed
        self._now = now
        self._started_at = now()
        self._lock = threading.Lock()
        self._rules: list[Rule] = []
        self._last_id = 0
        self._diary: deque[dict[str, Any]] = deque(maxlen=500)

    def add(self, fields: Mapping[str, Any]) -> Rule:
        """Put a rule in force from now on."""
        with self._lock:
            rule = rule_from(fields, self._last_id + 1)
            self._last_id = rule.id
            self._rules.append(rule)
            return rule

    def remove(self, rule_id: int | None = None) -> int:
        """Take one rule, or all, out of force; returns how many there were."""
        with self._lock:
            kept = [rule for rule in self._rules if rule_id is not None and rule.id != rule_id]
            removed = len(self._rules) - len(kept)
            self._rules = kept
            return removed

    def strikes(self, moment: str, endpoint: str | None = None, machine_id: int | None = None) -> list[Strike]:
        """Count one occasion of every rule that listens to it, and say which strike."""
        with self._lock:
            found = []
            for rule in self._rules:
                if FAULTS[rule.fault].moment != moment:
                    continue
                if rule.endpoint not in (None, endpoint) or rule.machine_id not in (None, machine_id):
                    continue
                if self._decides(rule):
                    rule.struck += 1
                    found.append(Strike(rule.fault, rule.parameters))
                    self._note(rule.fault, endpoint or (f"machine {machine_id}" if machine_id else moment))
            return found

    def note(self, fault: str, where: str) -> None:
        """Write a fault that was caused by hand into the diary."""
        with self._lock:
            self._note(fault, where)

    def as_data(self) -> dict[str, Any]:
        """The rules and the newest entries of the diary."""
        with self._lock:
            return {"rules": [asdict(rule) for rule in self._rules], "struck": list(self._diary)[-100:]}

    def _note(self, fault: str, where: str) -> None:
        self._diary.append({"at": self._now(), "fault": fault, "where": where})

    def _decides(self, rule: Rule) -> bool:
        elapsed = self._now() - self._started_at
        if elapsed < rule.from_seconds or (rule.until_seconds is not None and elapsed >= rule.until_seconds):
            return False
        rule.seen += 1
        if rule.times is not None and rule.struck >= rule.times:
            return False
        if rule.occasions and rule.seen not in rule.occasions:
            return False
        chance = random.Random(f"{self._seed}/{rule.id}/{rule.fault}/{rule.seen}").random()
        return chance < rule.probability
