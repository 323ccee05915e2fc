"""The verdict of `status`: the facts about a queue, to one word and one sentence that says what to do. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cli.moments import span, unix_of

SILENT_SECONDS = 60.0  # a watcher leaves a heartbeat every few seconds
SLOT_ROLES = frozenset({"slot", "provisioner"})
NO_SLOTS = "no_slots"
IN_WORDS = {
    "idle": "",
    NO_SLOTS: "",  # while a slot is alive it is old news
    "starting": "the watcher is starting",
    "waiting_for_batch": "a batch is filling",
    "no_capacity": "every slot has enough to do",
}
OK_VERDICTS = frozenset({"idle", "working", "waiting"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """`name` is one of: idle, working, waiting, watcher_not_running, stale, watcher_silent, provisioner_not_running,
    uploader_not_running.
    """

    name: str
    why: str

    @property
    def ok(self) -> bool:
        return self.name in OK_VERDICTS


def judge(facts: Mapping[str, Any]) -> Verdict:
    """Judge what `Look.status` found."""
    outstanding = int(facts["outstanding"])
    if outstanding == 0:
        return Verdict("idle", "nothing is waiting and nothing is being worked on")
    jobs = f"{outstanding} {'job' if outstanding == 1 else 'jobs'} outstanding"
    if facts["lock_owner"] is None:
        advice = "start one; what a crashed one held is taken over by the next"
        return Verdict("watcher_not_running", f"{jobs}, but no watcher holds the lock: {advice}")
    silent = _silence(facts)
    if silent is not None and silent > SILENT_SECONDS:
        return Verdict("watcher_silent", f"{jobs}, but the watcher that holds the lock is silent for {span(silent)}")
    if facts["stale_pel"]:
        stale = f"{facts['stale_pel']} of their leases are stale"
        return Verdict("stale", f"{jobs}; {stale}: a watcher may have crashed; they will be taken over by themselves")
    return _stages(facts, jobs)


def _stages(facts: Mapping[str, Any], jobs: str) -> Verdict:
    """Judge the stages behind a watcher that is well."""
    roles = {str(worker["worker"]).split("/", 1)[0] for worker in facts["workers"]}
    if facts["uploads_waiting"] and "uploader" not in roles:
        return Verdict("uploader_not_running", f"{jobs}; audio waits to be stored, but no uploader is alive: start one")
    reason = str(facts["watcher_reason"] or "")
    if not roles & SLOT_ROLES and (facts["batches_open"] or reason == NO_SLOTS):
        return Verdict("provisioner_not_running", f"{jobs}, but no slot of a provisioner is alive: start one")
    if facts["retries_waiting"] == facts["outstanding"]:
        return Verdict("waiting", f"{jobs}, waiting for another attempt after a failure that may pass")
    told = IN_WORDS.get(reason, reason)
    if told and not facts["batches_open"] and not facts["uploads_waiting"]:
        return Verdict("waiting", f"{jobs}: {told}")
    return Verdict("working", jobs)


def _silence(facts: Mapping[str, Any]) -> float | None:
    """Seconds since the watcher's heartbeat, by the clock of Redis; None when it left none that can be read."""
    seen = unix_of(facts["watcher_last_seen"])
    return None if seen is None else max(0.0, float(facts["redis_time_unix"]) - seen)
