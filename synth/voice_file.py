"""voice.json: what a voice says of itself. Checks it strictly; refuses voices outside the voices folder.

{"voice_version": 1, "name": "Newsroom", "language": "English", "description": "...",
 "embedded": {"engine": "auto", "speed": 1.0, "pitch": 1.0, "espeak_variant": "f2"}, "qwen": {...}}

`qwen` belongs to the GPU engine and is not looked into here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from lib.errors import InputError
from lib.languages import language_name
from lib.voices import SLUG_RE, VOICE_FILE, nearest, voice_slugs, voices_dir
from synth.errors import BadVoice, UnknownVoice
from synth.languages import NAMES
from synth.voicing import Timbre

VOICE_VERSION = 1
MAX_VOICE_BYTES = 256 * 1024
EMBEDDED_ENGINES = ("auto", "hibari", "espeak")
# espeak-ng ignores the name of a variant it does not have.
ESPEAK_VARIANTS = ("m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "f1", "f2", "f3", "f4", "f5")
_FIELDS = ("voice_version", "name", "language", "description", "embedded", "qwen")
_EMBEDDED_FIELDS = ("engine", "speed", "pitch", "espeak_variant")


class Voice(NamedTuple):
    """One voice, checked. `embedded` is None for a voice that was made for another engine only."""

    slug: str
    name: str
    language: str | None
    description: str
    engine: str
    embedded: Timbre | None
    has_qwen: bool


def load_voice(cache: Path, slug: str) -> Voice:
    """Read and check one voice; UnknownVoice names the nearest existing slugs."""
    folder = voices_dir(cache)
    if not SLUG_RE.fullmatch(slug):
        raise InputError(
            f"--voice {slug!r} is not a voice's name: use small letters, digits, '-' and '_' (at most 64), "
            "beginning with a letter or digit"
        )
    path = folder / slug / VOICE_FILE
    if not path.is_file():
        slugs = voice_slugs(cache)
        like = nearest(slug, slugs)
        if like:
            hint = f"did you mean {' or '.join(repr(one) for one in like)}?"
        elif slugs:
            hint = f"there are: {', '.join(slugs[:10])}{' …' if len(slugs) > 10 else ''}"
        else:
            hint = "there is no voice at all in that folder"
        raise UnknownVoice(f"no voice {slug!r} in {folder}: {hint}")
    try:
        with path.open("rb") as file:
            content = file.read(MAX_VOICE_BYTES + 1)
    except OSError as error:
        raise BadVoice(f"cannot read {path}: {error.strerror or error}") from error
    return check_voice(slug, content, str(path))


def check_voice(slug: str, content: bytes, where: str) -> Voice:
    """Return the voice that the content of a voice.json describes, or raise BadVoice with all its faults."""
    if len(content) > MAX_VOICE_BYTES:
        raise BadVoice(f"{where} is larger than {MAX_VOICE_BYTES} bytes")
    try:
        document = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise BadVoice(f"{where} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise BadVoice(f"{where}: must be a JSON object, not {type(document).__name__}")
    problems = _unknown(document, _FIELDS, "")
    if document.get("voice_version") != VOICE_VERSION or isinstance(document.get("voice_version"), bool):
        problems.append(f"voice_version must be {VOICE_VERSION}, not {document.get('voice_version')!r}")
    name = document.get("name")
    if not isinstance(name, str) or not name.strip():
        problems.append("name must be a text that is not empty")
    language = document.get("language")
    if language is not None and not (isinstance(language, str) and language_name(language)):
        problems.append(f"language must be one of {', '.join(NAMES)} or Auto, not {language!r}")
    description = document.get("description", "")
    if not isinstance(description, str):
        problems.append("description must be a text")
    qwen = document.get("qwen")
    if qwen is not None and not isinstance(qwen, dict):
        problems.append("qwen must be an object")
    engine, timbre = _embedded(document.get("embedded"), problems)
    if timbre is None and qwen is None and not problems:
        problems.append("needs an object 'embedded' or 'qwen' that says how to speak")
    if problems:
        raise BadVoice("\n".join(f"{where}: {problem}" for problem in problems))
    return Voice(slug, str(name).strip(), language, description, engine, timbre, qwen is not None)


def _embedded(section: object, problems: list[str]) -> tuple[str, Timbre | None]:
    if section is None:
        return "auto", None
    if not isinstance(section, dict):
        problems.append("embedded must be an object")
        return "auto", None
    problems.extend(_unknown(section, _EMBEDDED_FIELDS, "embedded."))
    engine = section.get("engine", "auto")
    if engine not in EMBEDDED_ENGINES:
        problems.append(f"embedded.engine must be one of {', '.join(EMBEDDED_ENGINES)}, not {engine!r}")
    speed = _number(section, "speed", 0.5, 2.0, problems)
    pitch = _number(section, "pitch", 0.6, 1.5, problems)
    variant = section.get("espeak_variant", "")
    if variant != "" and variant not in ESPEAK_VARIANTS:
        problems.append(f"embedded.espeak_variant must be one of {', '.join(ESPEAK_VARIANTS)}, not {variant!r}")
    return str(engine), Timbre(speed, pitch, str(variant))


def _number(section: dict[str, object], field: str, low: float, high: float, problems: list[str]) -> float:
    value = section.get(field, 1.0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        problems.append(f"embedded.{field} must be a number from {low} to {high}, not {value!r}")
        return 1.0
    return float(value)


def _unknown(document: dict[str, object], fields: tuple[str, ...], prefix: str) -> list[str]:
    problems = []
    for field in document:
        if field not in fields:
            like = nearest(field, fields)
            hint = f"did you mean {prefix}{like[0]}?" if like else f"there are: {', '.join(fields)}"
            problems.append(f"unknown field {prefix}{field}: {hint}")
    return problems
