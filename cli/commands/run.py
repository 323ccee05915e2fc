"""`run YAML`: compile and execute on this machine, or with `--dry-run` only show what would run."""

from __future__ import annotations

import argparse

from cli import console
from cli.exits import OK
from cli.options import add_cache, add_fail_fast, add_job_file, add_json, folder

DEFAULT_ROOT = "job-runs"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_job_file(parser)
    parser.add_argument("--dry-run", action="store_true", help="compile and show what would run, run nothing")
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=folder,
        default=None,
        help=f"folder to work in (default: {DEFAULT_ROOT}/RUN_ID)",
    )
    add_fail_fast(parser)
    add_cache(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Compile a file and execute it."""
    from pathlib import Path

    from cli.jobfile import checked_jobs
    from lib.manifest.compile import MANIFEST, build_manifest, compile_jobs

    jobs = checked_jobs(args.yaml, args.cache)
    if args.dry_run:
        return _dry_run(jobs, args)
    out = Path(args.out) if args.out else Path(DEFAULT_ROOT) / str(build_manifest(jobs)["run_id"])
    compile_jobs(jobs, out)

    from cli.local import execute_for_people

    return execute_for_people(out / MANIFEST, args.cache, fail_fast=args.fail_fast, as_json=args.json, command="run")


def _dry_run(jobs: list, args: argparse.Namespace) -> int:  # type: ignore[type-arg]  # of JobSpec, not imported here
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from lib.manifest.check import load_manifest
    from lib.manifest.compile import MANIFEST, compile_jobs

    with TemporaryDirectory(prefix="job-runner-") as temporary:
        out = Path(args.out) if args.out else Path(temporary) / "compiled"
        compile_jobs(jobs, out)
        manifest = load_manifest(out / MANIFEST)
    folder = args.out  # the temporary one is gone again
    if args.json:
        from cli.render import json_text

        shown = {"command": "run", "dry_run": True, "folder": folder, "run_id": manifest["run_id"]}
        console.say(json_text({**shown, "jobs": manifest["jobs"]}))
        return OK
    from shlex import join

    for entry in manifest["jobs"]:
        console.say(join(entry["argv"]))
    console.say(f"\n{manifest['run_id']}: {len(manifest['jobs']):,} jobs would run; nothing was run")
    return OK
