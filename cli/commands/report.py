"""`job-runner report YAML`: every job of a file beside what Redis knows of it. Changes nothing."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from cli import console, options
from cli.connection import connected
from cli.exits import OK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lib.jobqueue.spec import JobSpec

NOT_ENQUEUED = "not_enqueued"
_HEADERS = ("REQUEST_ID", "STATUS", "ATTEMPT", "CONTENT", "ENDED", "DETAIL")
_SHOWN = ("attempt", "reason", "completed_at", "failed_at", "error_type", "error", "outputs", "audio_seconds")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    options.add_job_file(parser)
    options.add_redis_url(parser)
    options.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Read the file, ask Redis about all of it, print."""
    from lib.manifest.jobs import load_jobs

    jobs = load_jobs(args.yaml)
    from lib.jobqueue.look import Look

    with connected(args) as store:
        answers = Look(store).results([job["request_id"] for job in jobs])
    rows = [compare(job, answer) for job, answer in zip(jobs, answers, strict=True)]
    if args.json:
        from cli.render import json_text

        data = {"command": "report", "file": args.yaml, "total": len(rows), **sums(rows), "jobs": rows}
        console.say(json_text(data))
    else:
        console.say(as_text(rows, width=console.terminal_width(), colour=console.use_colour()))
    return OK


def compare(job: JobSpec, answer: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return one row: the job of the file, and what Redis says of its request id."""
    from lib.jobqueue.enqueueing import known_hash
    from lib.jobqueue.spec import content_hash

    hash_, known = content_hash(job), known_hash(answer)
    found = answer or {}
    return {
        "request_id": job["request_id"],
        "output_name": job["output_name"],
        "status": found.get("status") if answer is not None else NOT_ENQUEUED,
        "content_hash": hash_,
        "known_hash": known or None,
        "changed": known not in ("", hash_),
        **{name: found.get(name) for name in _SHOWN},
    }


def sums(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the counts over a report."""
    counts: dict[str, int] = {}
    for row in rows:
        status = str(row["status"])
        counts[status] = counts.get(status, 0) + 1
    return {"counts": dict(sorted(counts.items())), "changed": sum(bool(row["changed"]) for row in rows)}


def as_text(rows: Sequence[Mapping[str, Any]], *, width: int | None = None, colour: bool = False) -> str:
    """Return the counts and the table."""
    from cli.records import detail, ended_at
    from cli.render import clean, table

    total = sums(rows)
    cells = [
        (
            row["request_id"],
            row["status"],
            row["attempt"],
            "CHANGED" if row["changed"] else "same" if row["known_hash"] else "-",
            ended_at(row),
            detail(row),
        )
        for row in rows
    ]
    counts = ", ".join(f"{clean(status)} {count}" for status, count in total["counts"].items())
    lines = [
        table(
            _HEADERS,
            cells,
            width=width,
            right=(2,),
            flexible=(0, 5),
            droppable=(4, 3, 2),
            colour=colour,
            status_column=1,
        )
    ]
    lines += ["", f"{len(rows)} {'job' if len(rows) == 1 else 'jobs'}: {counts}"]
    if total["changed"]:
        lines.append(
            f"{total['changed']} differ from what is known under their request_id; "
            "give those a new one to have them spoken"
        )
    return "\n".join(lines)
