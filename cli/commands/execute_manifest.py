"""`execute-manifest MANIFEST`: speak what was compiled, on this machine; go on after a crash."""

from __future__ import annotations

import argparse

from cli.options import add_cache, add_fail_fast, add_json


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("manifest", metavar="MANIFEST", help="manifest.json that compile wrote")
    add_fail_fast(parser)
    add_cache(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Execute a manifest."""
    from pathlib import Path

    from cli.local import execute_for_people

    path = Path(args.manifest)
    return execute_for_people(path, args.cache, fail_fast=args.fail_fast, as_json=args.json, command="execute-manifest")
