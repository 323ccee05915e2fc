"""`job-runner retry REQUEST_ID`: put a failed or cancelled job on the queue again, with fresh attempts."""

from __future__ import annotations

import argparse

from cli import console, options
from cli.confirm import confirmed, must_be_able_to_ask
from cli.connection import connected
from cli.exits import FAILED, OK, CommandFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lib.jobqueue.look import Look


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("request_id", metavar="REQUEST_ID", help="of a job whose record is failed or cancelled")
    options.add_yes(parser)
    options.add_redis_url(parser)
    options.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Ask, then move the job in one step."""
    must_be_able_to_ask("retry", yes=args.yes)
    from lib.jobqueue.look import Look
    from lib.jobqueue.operating import retry

    with connected(args) as store:
        look = Look(store)
        if not args.yes and not _agreed(look, args.request_id):
            console.warn("nothing was changed")
            return FAILED
        moved = retry(store, args.request_id)
        if moved.outcome == "unknown":
            from cli.unknown import unknown_request

            raise unknown_request(look, args.request_id)
    from cli.render import clean, json_text

    name = clean(args.request_id)
    if moved.outcome == "already_done":
        raise CommandFailed(f"{name}: is done already; there is nothing to retry", f"job-runner result {name}")
    if moved.outcome == "not_failed":
        raise CommandFailed(f"{name}: has not failed, it is {moved.state}", f"job-runner result {name}")
    if moved.outcome != "queued":
        raise CommandFailed(f"{name}: its record changed twice while it was read; try again")
    if args.json:
        data = {"command": "retry", "request_id": args.request_id, "outcome": "queued", "was": moved.state}
        console.say(json_text(data))
    else:
        console.say(f"{name}: was {moved.state}, queued again")
    return OK


def _agreed(look: Look, request_id: str) -> bool:
    """Ask; what cannot be retried anyway is left to the move itself to refuse."""
    from cli.records import detail
    from cli.render import clean, truncate
    from cli.unknown import unknown_request

    answer = look.result(request_id)
    if answer is None:
        raise unknown_request(look, request_id)
    if answer.get("status") not in ("failed", "cancelled"):
        return True
    why = truncate(clean(detail(answer)), 200)
    return confirmed(f"{clean(request_id)} is {clean(answer.get('status'))} ({why}). Queue it again?", yes=False)
