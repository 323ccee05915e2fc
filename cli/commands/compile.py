"""`compile YAML --out DIR`: the texts and a deterministic manifest.json."""

from __future__ import annotations

import argparse

from cli import console
from cli.exits import OK
from cli.options import add_cache, add_job_file, add_json, folder


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_job_file(parser)
    parser.add_argument(
        "--out", metavar="DIR", type=folder, required=True, help="folder to write; new, empty or of a compile"
    )
    add_cache(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Compile a file."""
    from pathlib import Path

    from cli.jobfile import checked_jobs
    from lib.manifest.compile import MANIFEST, compile_jobs

    jobs = checked_jobs(args.yaml, args.cache)
    manifest, state = compile_jobs(jobs, Path(args.out))
    path = Path(args.out) / MANIFEST
    if args.json:
        from cli.render import json_text

        shown = {"manifest": str(path), "run_id": manifest["run_id"], "state": state, "jobs": len(jobs)}
        console.say(json_text({"command": "compile", **shown}))
    else:
        noun = "job" if len(jobs) == 1 else "jobs"
        console.say(f"{path}: {len(jobs):,} {noun}, {manifest['run_id']} ({state})")
    return OK
