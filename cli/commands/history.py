"""`job-runner history`: the jobs that ended last, newest first. Changes nothing."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from cli import console, options
from cli.connection import connected
from cli.exits import OK

DEFAULT_LIMIT = 20
MAX_LIMIT = 10_000
_HEADERS = ("ENDED", "STATUS", "REQUEST_ID", "ATTEMPT", "AUDIO", "DETAIL")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--limit", type=_limit, default=DEFAULT_LIMIT, metavar="N", help=f"how many (default {DEFAULT_LIMIT})"
    )
    parser.add_argument(
        "--status",
        choices=("done", "failed", "all"),
        default="all",
        help="which: done, failed (cancelled ones among them) or all (default)",
    )
    options.add_redis_url(parser)
    options.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print the newest records."""
    from lib.jobqueue.look import Look

    with connected(args) as store:
        look = Look(store)
        records = look.history(args.limit, args.status)
        unlisted = look.unlisted()
    from cli.render import json_text

    if args.json:
        data = {"command": "history", "status": args.status, "limit": args.limit, "unlisted": unlisted, "jobs": records}
        console.say(json_text(data))
        return OK
    console.say(as_text(records, width=console.terminal_width(), colour=console.use_colour()))
    if unlisted:
        console.warn(f"{unlisted} older records are not listed yet; a running watcher adds them")
    return OK


def as_text(records: Sequence[dict[str, Any]], *, width: int | None = None, colour: bool = False) -> str:
    """Return the table."""
    if not records:
        return "no job has ended yet"
    from cli.render import table

    rows = [_row(record) for record in records]
    shape = {"right": (3, 4), "flexible": (2, 5), "droppable": (4, 3, 0)}
    return table(_HEADERS, rows, width=width, **shape, colour=colour, status_column=1)


def _row(record: dict[str, Any]) -> tuple[object, ...]:
    from cli.records import audio_of, detail, ended_at

    return (
        ended_at(record),
        record.get("status"),
        record.get("request_id"),
        record.get("attempt"),
        audio_of(record),
        detail(record),
    )


def _limit(value: str) -> int:
    if value.isascii() and value.isdigit() and 1 <= int(value) <= MAX_LIMIT:
        return int(value)
    raise argparse.ArgumentTypeError(f"{value!r} is not a whole number from 1 to {MAX_LIMIT}")
