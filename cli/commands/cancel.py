"""`job-runner cancel REQUEST_ID`: settle a job that has not ended; whoever works on it stops at its next renewal."""

from __future__ import annotations

import argparse

from cli import console, options
from cli.confirm import confirmed, must_be_able_to_ask
from cli.connection import connected
from cli.exits import FAILED, OK, CommandFailed


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("request_id", metavar="REQUEST_ID", help="of a job that has not ended")
    options.add_yes(parser)
    options.add_redis_url(parser)
    options.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Ask, then settle the job in one step."""
    must_be_able_to_ask("cancel", yes=args.yes)
    from cli.render import clean, json_text
    from lib.jobqueue.look import Look
    from lib.jobqueue.operating import cancel

    name = clean(args.request_id)
    with connected(args) as store:
        look = Look(store)
        if not args.yes:
            answer = look.result(args.request_id)
            state = "unknown" if answer is None else clean(answer.get("status"))
            settled = state in ("unknown", "done", "failed", "cancelled")  # the move itself refuses these
            if not settled and not confirmed(f"{name} is {state}. Cancel it?", yes=False):
                console.warn("nothing was changed")
                return FAILED
        moved = cancel(store, args.request_id)
        if moved.outcome == "unknown":
            from cli.unknown import unknown_request

            raise unknown_request(look, args.request_id)
    if moved.outcome == "moving":
        raise CommandFailed(f"{name}: changed hands at each try; try again")
    if moved.outcome not in ("cancelled", "already_cancelled"):
        raise CommandFailed(f"{name}: has ended already, it is {clean(moved.state)}", f"job-runner result {name}")
    if args.json:
        data = {"command": "cancel", "request_id": args.request_id, "outcome": moved.outcome, "was": moved.state}
        console.say(json_text(data))
    elif moved.outcome == "cancelled":
        console.say(f"{name}: was {clean(moved.state)}, cancelled")
    else:
        console.say(f"{name}: was cancelled already")
    return OK
