"""The verdict of `status`, from facts alone."""

from __future__ import annotations

from typing import Any

import pytest

from cli.health import judge

NOW = 1_800_000_000.0
FACTS: dict[str, Any] = {
    "outstanding": 3,
    "stale_pel": 0,
    "batches_open": 0,
    "uploads_waiting": 0,
    "retries_waiting": 0,
    "lock_owner": "host/watcher",
    "watcher_last_seen": NOW - 2,
    "watcher_reason": None,
    "workers": [{"worker": "watcher/host"}, {"worker": "slot/host/provisioner-0"}, {"worker": "uploader/host-0"}],
    "redis_time_unix": NOW,
}
NOBODY = {"lock_owner": None, "watcher_last_seen": None, "workers": []}


@pytest.mark.parametrize(
    ("change", "verdict", "told"),
    [
        ({"outstanding": 0}, "idle", "nothing is waiting"),
        ({"outstanding": 0, **NOBODY}, "idle", "nothing is waiting"),
        ({}, "working", "3 jobs outstanding"),
        ({"outstanding": 1}, "working", "1 job outstanding"),
        (NOBODY, "watcher_not_running", "start one"),
        ({**NOBODY, "stale_pel": 3}, "watcher_not_running", "no watcher holds the lock"),
        ({"watcher_last_seen": NOW - 61}, "watcher_silent", "silent for 1 min 01 s"),
        ({"watcher_last_seen": "2020-01-01T00:00:00Z"}, "watcher_silent", " d "),
        ({"watcher_last_seen": NOW + 100}, "working", "outstanding"),
        ({"watcher_last_seen": "garbage"}, "working", "outstanding"),
        ({"stale_pel": 2}, "stale", "2 of their leases are stale"),
        ({"batches_open": 1}, "working", "outstanding"),
        ({"batches_open": 1, "workers": []}, "provisioner_not_running", "start one"),
        ({"uploads_waiting": 1, "workers": [{"worker": "provisioner/h"}]}, "uploader_not_running", "start one"),
        ({"retries_waiting": 3}, "waiting", "another attempt"),
        ({"watcher_reason": "waiting_for_batch"}, "waiting", "a batch is filling"),
        ({"watcher_reason": "a reason of its own"}, "waiting", "a reason of its own"),
        ({"watcher_reason": "idle"}, "working", "outstanding"),
        ({"watcher_reason": "no_slots"}, "working", "outstanding"),
        ({"watcher_reason": "no_slots", "workers": []}, "provisioner_not_running", "start one"),
        ({"watcher_reason": "no_capacity", "batches_open": 1}, "working", "outstanding"),
    ],
)
def test_each_state_of_the_line_has_its_verdict(change: dict[str, Any], verdict: str, told: str) -> None:
    judged = judge({**FACTS, **change})
    assert judged.name == verdict
    assert told in judged.why
    assert judged.ok == (verdict in {"idle", "working", "waiting"})
