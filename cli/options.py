"""Options that several commands share, each spelt and explained once."""

from __future__ import annotations

import argparse
from pathlib import Path

IMAGE_ROOT = "/app/"
ROOT = Path(__file__).resolve().parents[1]


def job_file(given: str) -> str:
    """Return the path to read: `/app/…`, where the image keeps this repository, means it outside the image too."""
    if given.startswith(IMAGE_ROOT) and not Path(given).exists():
        here = ROOT / given.removeprefix(IMAGE_ROOT)
        return str(here) if here.exists() else given
    return given


def folder(given: str) -> str:
    """Refuse an empty name: `--out "$UNSET"` must not mean the folder one happens to be in."""
    if not given.strip():
        raise argparse.ArgumentTypeError("is empty; name a folder, or leave the option out")
    return given


def add_job_file(parser: argparse.ArgumentParser) -> None:
    """`YAML` → args.yaml."""
    parser.add_argument("yaml", metavar="YAML", type=job_file, help="file with jobs")


def add_json(parser: argparse.ArgumentParser) -> None:
    """`--json` → args.json."""
    parser.add_argument("--json", action="store_true", help="print one JSON object for programs (docs/cli.md)")


def add_redis_url(parser: argparse.ArgumentParser) -> None:
    """`--redis-url URL` → args.redis_url (None: see cli.settings.redis_url)."""
    parser.add_argument(
        "--redis-url",
        metavar="URL",
        default=None,
        help="Redis connection (default: $REDIS_URL, else redis://127.0.0.1:6379/0)",
    )


def add_cache(parser: argparse.ArgumentParser) -> None:
    """`--cache DIR` → args.cache (None: see lib.voices.cache_dir)."""
    parser.add_argument(
        "--cache",
        metavar="DIR",
        type=folder,
        default=None,
        help="folder that holds voices/ (default: $JOB_RUNNER_CACHE, else /cache, else the repository's cache/)",
    )


def add_yes(parser: argparse.ArgumentParser) -> None:
    """`--yes` → args.yes."""
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask; needed where there is no terminal")


def add_fail_fast(parser: argparse.ArgumentParser) -> None:
    """`--fail-fast` → args.fail_fast."""
    parser.add_argument("--fail-fast", action="store_true", help="stop after the first job that fails")
