"""What list-voices, list-speakers and capabilities say: the data, and the data as text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lib.voices import SPEAKERS, voice_slugs
from synth import engines
from synth.errors import BadVoice
from synth.languages import LANGUAGES
from synth.selection import ASR
from synth.voice_file import load_voice
from synth.voicing import PROFILES, SPEAKER_ABOUT, SPEAKER_TIMBRES

LISTING_VERSION = 1


def voices(cache: Path) -> dict[str, object]:
    """Return every voice of the cache; one with a broken voice.json carries its error."""
    return {
        "listing_version": LISTING_VERSION,
        "cache": str(cache),
        "voices": [_voice(cache, slug) for slug in voice_slugs(cache)],
    }


def _voice(cache: Path, slug: str) -> dict[str, object]:
    try:
        voice = load_voice(cache, slug)
    except BadVoice as error:
        return {"slug": slug, "name": None, "language": None, "description": None, "engines": [], "error": str(error)}
    made_for = [name for name, given in (("embedded", voice.embedded), ("qwen", voice.has_qwen)) if given]
    return {
        "slug": slug,
        "name": voice.name,
        "language": voice.language,
        "description": voice.description,
        "engines": made_for,
        "error": None,
    }


def speakers() -> dict[str, object]:
    """Return the nine speakers and how the embedded engines stand in for each."""
    return {
        "listing_version": LISTING_VERSION,
        "speakers": [
            {
                "name": name,
                "description": SPEAKER_ABOUT[name],
                "embedded": SPEAKER_TIMBRES[name]._asdict(),
            }
            for name in SPEAKERS
        ],
    }


def capabilities() -> dict[str, object]:
    """Return which engines are here, who would speak each language, and what `speak` can do."""
    found = [engines.engine(name) for name in engines.EMBEDDED]
    return {
        "listing_version": LISTING_VERSION,
        "engines": [
            *(
                {
                    "name": engine.name,
                    "installed": engine.installed(),
                    "version": engine.version() if engine.installed() else None,
                    "found": engine.how(),
                    "languages": list(engine.languages()),
                }
                for engine in found
            ),
            {"name": "qwen", "installed": False, "version": None, "found": "not part of this build", "languages": []},
        ],
        "languages": [
            {
                "name": language.name,
                "code": language.code,
                "engine": next((e.name for e in found if e.installed() and language.name in e.languages()), None),
            }
            for language in LANGUAGES
        ],
        "speakers": list(SPEAKERS),
        "profiles": list(PROFILES),
        "audio": {"format": "wav", "encoding": "pcm_s16le", "sample_rate_hz": 24000, "channels": 1},
        "features": {"variants": True, "select_best": True, "chunk": True, "asr": ASR, "serve": False},
    }


def voices_text(listing: dict[str, object]) -> str:
    """Return the voices as a table for people."""
    rows = [
        (one["slug"], one["language"] or "-", "broken: " + one["error"] if one["error"] else one["description"] or "")
        for one in _rows(listing["voices"])
    ]
    return _table(("VOICE", "LANGUAGE", "ABOUT"), rows) if rows else f"no voices in {listing['cache']}/voices\n"


def speakers_text(listing: dict[str, object]) -> str:
    """Return the speakers as a table for people."""
    return _table(("SPEAKER", "ABOUT"), [(one["name"], one["description"]) for one in _rows(listing["speakers"])])


def capabilities_text(listing: dict[str, object]) -> str:
    """Return the capabilities as two tables for people."""
    engine_rows = [(one["name"], one["version"] or "not installed", one["found"]) for one in _rows(listing["engines"])]
    language_rows = [
        (one["name"], one["code"], one["engine"] or "no engine here") for one in _rows(listing["languages"])
    ]
    return (
        _table(("ENGINE", "VERSION", "FOUND"), engine_rows)
        + "\n"
        + _table(("LANGUAGE", "CODE", "ENGINE"), language_rows)
    )


def _rows(value: object) -> list[dict[str, str]]:
    assert isinstance(value, list)
    return value


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(str(row[column])) for row in (head, *rows)) for column in range(len(head))]
    lines = [
        "  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (head, *rows)
    ]
    return "\n".join(lines) + "\n"
