"""`job-runner status`: queue depth, leases, lock, workers, and one verdict about it all. Changes nothing."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from cli import console, options, settings
from cli.connection import connected
from cli.exits import OK


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    options.add_redis_url(parser)
    options.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Read the facts, judge them, print both."""
    from lib.jobqueue.look import Look

    idle_ms = settings.lease_idle_ms()
    with connected(args) as store:
        facts = Look(store).status(idle_ms)
    from cli.health import judge
    from cli.render import json_text

    verdict = judge(facts)
    if args.json:
        health = {"verdict": verdict.name, "ok": verdict.ok, "why": verdict.why}
        console.say(json_text({"command": "status", "health": health, "lease_idle_ms": idle_ms, **facts}))
    else:
        console.say(as_text(facts, verdict.name, verdict.why, ok=verdict.ok, colour=console.use_colour()))
    return OK


def as_text(facts: Mapping[str, Any], name: str, why: str, *, ok: bool, colour: bool = False) -> str:
    """Return one `key: value` line for each fact, the verdict first."""
    from cli.moments import ago, span
    from cli.render import GREEN, YELLOW, clean, paint

    now = float(facts["redis_time_unix"])

    def at(value: object) -> str:
        return "-" if value is None else f"{clean(value)} ({ago(value, now) or 'not a time'})"

    retry_at = facts["next_retry_unix"]
    states = ", ".join(f"{state} {count}" for state, count in facts["states"].items() if count)
    metrics = ", ".join(f"{key} {value}" for key, value in facts["metrics"].items())
    lines = [
        f"health: {paint(name.replace('_', ' '), GREEN if ok else YELLOW, colour=colour)} - {clean(why)}",
        f"outstanding: {facts['outstanding']}",
        f"pending: {facts['pending']}",
        f"stale_pel: {facts['stale_pel']}",
        f"batches_open: {facts['batches_open']}",
        f"uploads_waiting: {facts['uploads_waiting']}",
        f"retries_waiting: {facts['retries_waiting']}"
        + ("" if retry_at is None else f" (next {'now' if retry_at <= now else 'in ' + span(retry_at - now)})"),
        f"first_queued: {at(facts['first_queued'])}",
        f"states: {states or '-'}",
        f"lock_owner: {clean(facts['lock_owner'] or '-')}",
        f"watcher_last_seen: {at(facts['watcher_last_seen'])}",
        f"watcher_consumer: {clean(facts['watcher_consumer'] or '-')}",
        f"watcher_run_id: {clean(facts['watcher_run_id'] or '-')}",
        f"watcher_reason: {clean(facts['watcher_reason'] or '-')}",
        f"workers: {len(facts['workers']) or '-'}",
    ]
    lines += [f"  {clean(one['worker'])} (seen {span(one['silent_seconds'])} ago)" for one in facts["workers"]]
    lines.append(f"metrics: {metrics or '-'}")
    return "\n".join(lines)
