"""`plan YAML`: validate, look for the voices, show the jobs and how much there is to speak. Writes nothing."""

from __future__ import annotations

import argparse

from cli import console
from cli.exits import OK
from cli.options import add_cache, add_job_file, add_json

PREVIEW_ROWS = 50


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_job_file(parser)
    parser.add_argument("--all", action="store_true", help=f"show every job, not only the first {PREVIEW_ROWS}")
    add_cache(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Plan a file."""
    from cli.jobfile import checked_jobs
    from lib.manifest.summary import plan_rows, totals

    jobs = checked_jobs(args.yaml, args.cache)
    rows = plan_rows(jobs)
    sums = totals(jobs, rows)
    if args.json:
        from cli.render import json_text
        from lib.jobqueue.spec import content_hash

        for job, row in zip(jobs, rows, strict=True):
            row["content_hash"] = content_hash(job)
        console.say(json_text({"command": "plan", "file": args.yaml, "jobs": rows, "totals": sums}))
        return OK
    from cli.render_jobs import plan_text

    shown = len(rows) if args.all else PREVIEW_ROWS
    console.say(plan_text(rows, sums, shown, width=console.terminal_width(), colour=console.use_colour()))
    return OK
