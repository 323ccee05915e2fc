"""What `enqueue` and `enqueue-beatsheet` share: serialise all, send all, and say exactly what became of each job."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from cli import console, options
from cli.exits import OK, exit_code
from cli.progress import Progress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lib.jobqueue.enqueueing import Answer, Sent
    from lib.jobqueue.spec import JobSpec
    from lib.jobqueue.store import JobStore

STATUSES = ("queued", "duplicate_request", "already_done")
_MEANING = {
    "queued": "accepted now",
    "duplicate_request": "known already: on its way, failed or cancelled",
    "already_done": "spoken before",
}
LISTED = 20  # jobs of each status that a person is shown; --json lists all


def configure_sending(parser: argparse.ArgumentParser) -> None:
    """Declare what both commands take."""
    options.add_cache(parser)
    parser.add_argument(
        "--no-voice-check",
        action="store_true",
        help="do not look for the voices: where only the boxes have them",
    )
    options.add_redis_url(parser)
    options.add_json(parser)


def enqueue_jobs(args: argparse.Namespace, command: str, file: str, jobs: Sequence[JobSpec]) -> int:
    """Enqueue validated jobs and print the outcome; exit code 3 where Redis went away in the middle."""
    from cli.connection import advise, connected
    from lib.jobqueue.enqueueing import send, serialise
    from lib.jobqueue.look import Look

    with connected(args) as store:
        wires = serialise(jobs, Look(store).now_unix())
        with Progress(len(wires), "enqueue") as progress:
            sent = send(store, wires, progress.step)
        if sent.error is None:
            sent = _with_hashes_of_records(store, sent)
    _note_metrics(sent)
    names = {job["request_id"]: job["output_name"] for job in jobs}
    data = as_data(command, file, sent, names)
    if sent.error is not None:
        error = sent.error
        return _say_broken(args, data, sent, len(jobs), str(error), advise(error), exit_code(error))
    if args.json:
        from cli.render import json_text

        console.say(json_text(data))
        return OK
    console.say(as_text(sent, colour=console.use_colour()))
    for line in warnings(sent.answers):
        console.warn(f"warning: {line}")
    return OK


def _with_hashes_of_records(store: JobStore, sent: Sent) -> Sent:
    """Look up what a record of an older version says where no row told the hash."""
    from lib.jobqueue.enqueueing import Answer, known_hash
    from lib.jobqueue.enqueueing import Sent as Told
    from lib.jobqueue.look import Look

    asked = [one.request_id for one in sent.answers if one.status != "queued" and not one.known_hash]
    if not asked:
        return sent
    found = dict(zip(asked, map(known_hash, Look(store).results(asked)), strict=True))
    return Told(
        [
            Answer(one.request_id, one.status, one.content_hash, one.known_hash or found.get(one.request_id, ""))
            for one in sent.answers
        ]
    )


def counts(answers: Sequence[Answer]) -> dict[str, int]:
    """Return how many jobs got each answer."""
    return {status: sum(one.status == status for one in answers) for status in STATUSES}


def warnings(answers: Sequence[Answer]) -> list[str]:
    """One line for each request id that is known with another content."""
    from cli.render import clean

    return [
        f"{clean(one.request_id)} ({one.status}) is known with another content: known {clean(one.known_hash)}, "
        f"in the file {one.content_hash}; the file's version is not spoken: give it a new request_id"
        for one in answers
        if one.changed
    ]


def as_data(command: str, file: str, sent: Sent, names: dict[str, str]) -> dict[str, Any]:
    """Return what `--json` prints."""
    return {
        "command": command,
        "file": file,
        "total": len(names),
        "counts": counts(sent.answers),
        "changed": sum(one.changed for one in sent.answers),
        "jobs": [
            {
                "request_id": one.request_id,
                "output_name": names[one.request_id],
                "status": one.status,
                "content_hash": one.content_hash,
                "known_hash": one.known_hash or None,
                "changed": one.changed,
            }
            for one in sent.answers
        ],
    }


def as_text(sent: Sent, *, colour: bool = False) -> str:
    """Return the counts, then the request ids under each status."""
    from cli.render import STATUS_COLOURS, clean, paint

    numbers = counts(sent.answers)
    lines = [
        f"{paint(status, STATUS_COLOURS.get(status, ''), colour=colour)}: {numbers[status]} ({_MEANING[status]})"
        if numbers[status]
        else f"{status}: 0"
        for status in STATUSES
    ]
    for status in STATUSES:
        ids = [clean(one.request_id) for one in sent.answers if one.status == status]
        if ids:
            lines.append(f"\n{status}:")
            lines += [f"  {one}" for one in ids[:LISTED]]
            if len(ids) > LISTED:
                lines.append(f"  ... and {len(ids) - LISTED} more (--json lists all)")
    return "\n".join(lines)


def _say_broken(
    args: argparse.Namespace, data: dict[str, Any], sent: Sent, total: int, message: str, hint: str, code: int
) -> int:
    """Redis went away in the middle: say what is known for sure, and that the same command can be run again."""
    from cli.render import error_lines, json_text

    sure = data["counts"]["queued"]
    doubt = f"; up to {sent.in_doubt} more may have been" if sent.in_doubt else ""
    told = (
        f"{len(sent.answers)} of {total} jobs were answered, {sure} of them accepted now for sure{doubt}. "
        "Running the same command again is safe: each request id is accepted once"
    )
    if args.json:
        error = {"type": sent.error.error_type if sent.error else "error", "message": f"{message}; {told}"}
        error = {**error, "problems": [message, told], "hint": hint}  # type: ignore[dict-item]
        console.say(json_text({"error": error, "in_doubt": sent.in_doubt, **data}))
    else:
        console.warn(error_lines([message, told], hint))
    return code


def _note_metrics(sent: Sent) -> None:
    from cli import metrics

    metrics.note_enqueued(counts(sent.answers))
