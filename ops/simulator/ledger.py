"""What every box costs, by the second.

Owns the meters (GPU, storage) and the bandwidth of each instance, the file of closed entries (`ledger.jsonl`, one
line an entry, flushed at once so that a killed simulator still leaves its bill) and the sums. It refuses to know why a
meter runs: the life of a box starts and stops it.
"""

from __future__ import annotations

import json
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

SECONDS_AN_HOUR = 3600.0
BYTES_A_GIGABYTE = 1e9


@dataclass(frozen=True)
class Entry:
    """One stretch of time (or a transfer) at one rate. `seconds` is 0 for bandwidth, `bytes` 0 for time."""

    instance_id: int
    kind: str
    start: float
    end: float
    seconds: float
    bytes: int
    rate: float
    amount: float


@dataclass(frozen=True)
class _Meter:
    start: float
    dollars_an_hour: float


class Ledger:
    """Meters that run, and entries of those that have stopped."""

    def __init__(self, file: Path) -> None:
        self._lock = threading.Lock()
        self._meters: dict[tuple[int, str], _Meter] = {}
        self._entries: list[Entry] = []
        self._out = file.open("a", encoding="utf-8")

    def start(self, instance_id: int, kind: str, dollars_an_hour: float, at: float) -> None:
        """Start a meter; one that runs at the same rate goes on, one at another rate is closed first."""
        with self._lock:
            running = self._meters.get((instance_id, kind))
            if running is not None and running.dollars_an_hour == dollars_an_hour:
                return
            self._close(instance_id, kind, at)
            self._meters[(instance_id, kind)] = _Meter(at, dollars_an_hour)

    def stop(self, instance_id: int, kind: str, at: float) -> None:
        """Stop a meter and write its entry; nothing happens when it does not run."""
        with self._lock:
            self._close(instance_id, kind, at)

    def transfer(self, instance_id: int, kind: str, count: int, dollars_a_gigabyte: float, at: float) -> None:
        """Bill `count` bytes."""
        if count <= 0:
            return
        amount = count / BYTES_A_GIGABYTE * dollars_a_gigabyte
        with self._lock:
            self._write(Entry(instance_id, kind, at, at, 0.0, count, dollars_a_gigabyte, amount))

    def entries(self, at: float, instance_id: int | None = None) -> list[Entry]:
        """Everything billed until `at`, running meters included."""
        with self._lock:
            running = [_entry(key, meter, at) for key, meter in self._meters.items()]
            return [entry for entry in self._entries + running if instance_id in (None, entry.instance_id)]

    def total(self, at: float, instance_id: int | None = None) -> float:
        """Dollars billed until `at`."""
        return sum(entry.amount for entry in self.entries(at, instance_id))

    def dollars_an_hour(self) -> float:
        """What the running meters cost together."""
        with self._lock:
            return sum(meter.dollars_an_hour for meter in self._meters.values())

    def bill(self, at: float) -> dict[int, dict[str, Any]]:
        """For each instance its seconds by kind, bytes and dollars."""
        bill: dict[int, dict[str, Any]] = {}
        for entry in self.entries(at):
            row = bill.setdefault(entry.instance_id, {"seconds": {}, "bytes": 0, "amount": 0.0})
            if entry.seconds:
                row["seconds"][entry.kind] = row["seconds"].get(entry.kind, 0.0) + entry.seconds
            row["bytes"] += entry.bytes
            row["amount"] += entry.amount
        return bill

    def close(self, at: float) -> None:
        """Stop every meter and close the file."""
        with self._lock:
            for instance_id, kind in list(self._meters):
                self._close(instance_id, kind, at)
            self._out.close()

    def _close(self, instance_id: int, kind: str, at: float) -> None:
        meter = self._meters.pop((instance_id, kind), None)
        if meter is not None:
            self._write(_entry((instance_id, kind), meter, at))

    def _write(self, entry: Entry) -> None:
        self._entries.append(entry)
        self._out.write(json.dumps(asdict(entry)) + "\n")
        self._out.flush()


def _entry(key: tuple[int, str], meter: _Meter, at: float) -> Entry:
    seconds = max(0.0, at - meter.start)
    amount = seconds / SECONDS_AN_HOUR * meter.dollars_an_hour
    return Entry(key[0], key[1], meter.start, meter.start + seconds, seconds, 0, meter.dollars_an_hour, amount)
