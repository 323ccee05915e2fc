"""`job-runner result REQUEST_ID`: the final record of one job, or where it is on its way. Changes nothing."""

from __future__ import annotations

import argparse
from typing import Any

from cli import console, options
from cli.connection import connected
from cli.exits import OK

FINAL = ("done", "failed", "cancelled")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("request_id", metavar="REQUEST_ID", help="as `enqueue` and `report` show it")
    options.add_redis_url(parser)
    options.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print the record, or the row of a job on its way."""
    from lib.jobqueue.look import Look

    with connected(args) as store:
        look = Look(store)
        answer = look.result(args.request_id)
        if answer is None:
            from cli.unknown import unknown_request

            raise unknown_request(look, args.request_id)
    if args.json:
        from cli.render import json_text

        console.say(json_text(as_data(args.request_id, answer)))
    else:
        from cli.records import lines_of

        console.say("\n".join(lines_of(with_times(answer))))
    return OK


def with_times(answer: dict[str, Any]) -> dict[str, Any]:
    """Return what people read: the milliseconds of a row as times."""
    from cli.moments import iso_of_ms

    names = {"queued_ms": "queued_at", "at_ms": "since"}
    return {names.get(key, key): iso_of_ms(value) if key in names else value for key, value in answer.items()}


def as_data(request_id: str, answer: dict[str, Any]) -> dict[str, object]:
    """Return what `--json` prints: the record of a job that ended, else the row of one on its way."""
    final = answer.get("status") in FINAL
    return {
        "command": "result",
        "request_id": request_id,
        "status": answer.get("status"),
        "final": final,
        "record": answer if final else None,
        "job": None if final else answer,
    }
