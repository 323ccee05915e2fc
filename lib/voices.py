"""Where voices live and what they are called: the cache folder, the voice slugs, the nine speaker names.

Owns the one rule by which every program finds `<cache>/voices/<slug>/voice.json`. Refuses slugs that could leave
that folder, and does not read what a voice says: that is voice-synth's own business.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from lib.errors import InputError

SLUG_RE = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
VOICE_FILE = "voice.json"
SPEAKERS = ("Vivian", "Serena", "Uncle_Fu", "Dylan", "Eric", "Ryan", "Aiden", "Ono_Anna", "Sohee")

CONTAINER_CACHE = Path("/cache")
REPOSITORY_CACHE = Path(__file__).resolve().parents[1] / "cache"


def cache_dir(explicit: str | None = None) -> Path:
    """Return the cache folder: `explicit`, else JOB_RUNNER_CACHE, else /cache with voices in it, else the repository's.

    /cache counts only where it holds a `voices` folder, so that an unrelated /cache hides no example voice.
    """
    named = explicit or os.environ.get("JOB_RUNNER_CACHE")
    if named:
        return Path(named).expanduser()
    if (CONTAINER_CACHE / "voices").is_dir():
        return CONTAINER_CACHE
    return REPOSITORY_CACHE


def voices_dir(cache: Path) -> Path:
    """Return the folder that holds one folder for each voice."""
    return cache / "voices"


def voice_slugs(cache: Path) -> list[str]:
    """Return the slugs of all voices in the cache, sorted; none where the folder is missing."""
    folder = voices_dir(cache)
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if SLUG_RE.fullmatch(entry.name)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(f"cannot read the voices folder {folder}: {error.strerror or error}") from error
    return sorted(name for name in names if (folder / name / VOICE_FILE).is_file())


def nearest(slug: str, slugs: Iterable[str]) -> list[str]:
    """Return up to three names most like `slug`, best first."""
    from difflib import get_close_matches

    return get_close_matches(slug.lower(), list(slugs), n=3, cutoff=0.5)


def speaker_name(name: str) -> str | None:
    """Return the canonical speaker name, whatever its case and with spaces or hyphens for `_`; None if unknown."""
    wanted = name.strip().lower().replace(" ", "_").replace("-", "_")
    return next((speaker for speaker in SPEAKERS if speaker.lower() == wanted), None)
