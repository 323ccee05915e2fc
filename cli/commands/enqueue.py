"""`job-runner enqueue YAML`: put the jobs of a file on the queue, each request id once. All are checked before any."""

from __future__ import annotations

import argparse

from cli import options
from cli.sending import configure_sending, enqueue_jobs


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    options.add_job_file(parser)
    configure_sending(parser)


def run(args: argparse.Namespace) -> int:
    """Validate, then enqueue."""
    if args.no_voice_check:
        from lib.manifest.jobs import load_jobs

        jobs = load_jobs(args.yaml)
    else:
        from cli.jobfile import checked_jobs

        jobs = checked_jobs(args.yaml, args.cache)
    return enqueue_jobs(args, "enqueue", args.yaml, jobs)
