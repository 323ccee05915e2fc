"""The options of `speak`, checked: all faults at once, before anything heavy is imported. Reads only the text file."""

from __future__ import annotations

import math
import os
from argparse import Namespace
from typing import NamedTuple

from lib.errors import InputError, PermanentError
from lib.voices import SPEAKERS, nearest, speaker_name
from synth.engines import REQUESTS
from synth.errors import UnknownSpeaker
from synth.languages import resolve_language
from synth.text import Text, check_text, read_text
from synth.voicing import PROFILES

MAX_VARIANTS = 999
MAX_SEED = 2**32 - 1 - MAX_VARIANTS


class SpeakRequest(NamedTuple):
    """One job. `options` are those of the GPU engine: an embedded engine records and ignores them."""

    text: Text
    voice: str | None
    speaker: str | None
    language: str | None
    profile: str
    variants: int
    select_best: bool
    chunk: bool
    seed: int
    engine: str
    options: dict[str, object]
    cache: str | None
    out_exact: str
    json_result: str | None


def speak_request(given: Namespace) -> SpeakRequest:
    """Return the request, or raise InputError with every fault (UnknownSpeaker where that is the only one)."""
    problems: list[str] = []
    voice, speaker = _blank_to_none(given.voice), _blank_to_none(given.speaker)
    if (voice is None) == (speaker is None):
        problems.append("exactly one of --voice and --speaker must be given, and not blank")
    language = _blank_to_none(given.language)
    profile = _one_of("--profile", given.profile or "balanced", tuple(PROFILES), problems)
    wanted = given.engine or os.environ.get("VOICE_SYNTH_ENGINE") or "auto"
    engine = _one_of("--engine" if given.engine else "VOICE_SYNTH_ENGINE", wanted, REQUESTS, problems)
    variants = _integer("--variants", given.variants, 1, MAX_VARIANTS, problems)
    seed = _integer("--seed", given.seed, 0, MAX_SEED, problems)
    options = _engine_options(given, problems)
    if not given.out_exact:
        problems.append("--out-exact DIR is missing: the folder for the audio")
    text = _text(given, problems)
    if language is not None and text is not None:
        _collect(problems, resolve_language, language, text.spoken)
    if problems or text is None:
        raise InputError(problems)
    return SpeakRequest(
        text=text,
        voice=voice,
        speaker=None if speaker is None else _speaker(speaker),
        language=language,
        profile=profile,
        variants=1 if variants is None else variants,
        select_best=given.select_best,
        chunk=given.chunk,
        seed=seed or 0,
        engine=engine,
        options=options,
        cache=given.cache or os.environ.get("VOICE_SYNTH_CACHE") or None,
        out_exact=given.out_exact,
        json_result=given.json_result,
    )


def _speaker(name: str) -> str:
    known = speaker_name(name)
    if known is None:
        like = nearest(name, [one.lower() for one in SPEAKERS])
        hint = f"did you mean {speaker_name(like[0])}? " if like else ""
        raise UnknownSpeaker(f"unknown speaker {name!r}: {hint}There are: {', '.join(SPEAKERS)}")
    return known


def _text(given: Namespace, problems: list[str]) -> Text | None:
    if (given.text is None) == (given.text_file is None):
        problems.append("exactly one of --text and --text-file must be given")
        return None
    try:
        if given.text is not None:
            return check_text(given.text.encode("utf-8", "surrogateescape"), "--text")
        return read_text(given.text_file)
    except InputError as error:
        problems.extend(error.problems)
        return None


def _engine_options(given: Namespace, problems: list[str]) -> dict[str, object]:
    options: dict[str, object] = {
        "tone": _blank_to_none(given.tone),
        "instruct": _blank_to_none(given.instruct),
        "instruct_style": _blank_to_none(given.instruct_style),
        "temperature": _number("--temperature", given.temperature, problems, low=0.0),
        "top_p": _number("--top-p", given.top_p, problems, low=0.0, low_open=True, high=1.0),
        "repetition_penalty": _number(
            "--repetition-penalty", given.repetition_penalty, problems, low=0.0, low_open=True
        ),
        "max_new_tokens": _integer("--max-new-tokens", given.max_new_tokens, 1, 10**9, problems),
    }
    return {name: value for name, value in options.items() if value is not None}


def _collect(problems: list[str], check: object, *arguments: str) -> None:
    assert callable(check)
    try:
        check(*arguments)
    except PermanentError as error:
        problems.append(str(error))


def _blank_to_none(value: str | None) -> str | None:
    return (value or "").strip() or None


def _one_of(option: str, value: str, allowed: tuple[str, ...], problems: list[str]) -> str:
    if value not in allowed:
        problems.append(f"{option} must be one of {', '.join(allowed)}, not {value!r}")
    return value


def _integer(option: str, value: str | None, low: int, high: int, problems: list[str]) -> int | None:
    if value is None:
        return None
    try:
        number = int(value)
    except ValueError:
        number = low - 1
    if not low <= number <= high:
        problems.append(f"{option} must be a whole number from {low} to {high}, not {value!r}")
        return None
    return number


def _number(
    option: str,
    value: str | None,
    problems: list[str],
    *,
    low: float,
    low_open: bool = False,
    high: float = math.inf,
) -> float | None:
    if value is None:
        return None
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    above = number > low if low_open else number >= low
    if not (math.isfinite(number) and above and number <= high):
        least = f"above {low:g}" if low_open else f"at least {low:g}"
        most = "" if high == math.inf else f" and at most {high:g}"
        problems.append(f"{option} must be a number {least}{most}, not {value!r}")
        return None
    return number
