"""`job-runner flush`: empty the queue; with `--hard` forget records, history and counts too. For development.

The one move that drops accepted jobs on purpose. It never touches locks, groups, the watcher's instance, boxes or
money.
"""

from __future__ import annotations

import argparse
from typing import Any

from cli import console, options
from cli.confirm import confirmed, must_be_able_to_ask
from cli.connection import connected
from cli.exits import FAILED, OK, CommandFailed
from cli.progress import Progress

IN_FLIGHT = "outstanding"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--hard", action="store_true", help="clear records (done, failed), history, counters and events too"
    )
    options.add_yes(parser)
    options.add_redis_url(parser)
    options.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Ask, then walk through the queue in bounded steps."""
    must_be_able_to_ask("flush", yes=args.yes)
    from cli.render import clean, json_text
    from lib.jobqueue.flushing import flush
    from lib.jobqueue.look import Look

    with connected(args) as store:
        facts = Look(store).status(lease_idle_ms=1)
        if facts["lock_owner"] is not None:
            _warn_of_watcher(clean(facts["lock_owner"]), yes=args.yes)
        if not confirmed(_question(facts, hard=args.hard), yes=args.yes):
            console.warn("nothing was changed")
            return FAILED
        with Progress(_size(facts), "flush") as progress:
            flushed = flush(store, hard=args.hard, progress=progress.step)
    data = {
        "command": "flush",
        "hard": args.hard,
        "outstanding_before": facts[IN_FLIGHT],
        "removed": {
            "queue_items": flushed.queue,
            "stray_rows": flushed.stray,
            "done_records": flushed.done_records,
            "failed_records": flushed.failed_records,
        },
    }
    if args.json:
        console.say(json_text(data))
        return OK
    console.say(f"flushed: {facts[IN_FLIGHT]} outstanding jobs dropped ({flushed.queue} rows, entries and retries)")
    if flushed.stray:
        console.say(f"flushed: {flushed.stray} rows that an older version left")
    if args.hard:
        console.say(f"flushed: {flushed.done_records} done and {flushed.failed_records} failed records, and all counts")
    return OK


def _warn_of_watcher(owner: str, *, yes: bool) -> None:
    """A live watcher is no danger to a flush, but a flush is one to what it works on."""
    if not yes:
        raise CommandFailed(
            f"a watcher is at work ({owner} holds the lock); what it has in hand would be dropped",
            hint="stop it first, or give --yes: a flush beside live workers is safe, its jobs are gone all the same",
        )
    console.warn(f"warning: a watcher is at work ({owner}); what it has in hand is dropped")


def _question(facts: dict[str, Any], *, hard: bool) -> str:
    records = facts["states"]["done"] + facts["states"]["failed"] + facts["states"]["cancelled"]
    also = f" and forgets {records} finished ones" if hard else ""
    return f"This drops {facts[IN_FLIGHT]} outstanding jobs{also}. Go on?"


def _size(facts: dict[str, Any]) -> int:
    """About how many things there are to remove, for the bar: a row and an entry each job, and the stages' entries."""
    return int(facts["outstanding"] * 2 + facts["retries_waiting"] + facts["batches_open"] + facts["uploads_waiting"])
