"""What a plan says about jobs: which voices are missing, how much there is to speak. Reads only the voices folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lib.jobqueue.spec import JobSpec
from lib.languages import AUTO, CODES, language_name
from lib.manifest.estimate import estimated_seconds
from lib.manifest.rows import Place
from lib.voices import SPEAKERS, nearest, speaker_name, voice_slugs, voices_dir

PROFILES = ("stable", "balanced", "expressive")


def missing_voices(jobs: Sequence[JobSpec], cache: Path, place: Place) -> list[str]:
    """Return one line for each voice, speaker, profile or language that does not exist, at the first job with it."""
    wanted: dict[tuple[str, str], list[int]] = {}
    for row, job in enumerate(jobs):
        if job["profile"] not in PROFILES:
            wanted.setdefault(("profile", job["profile"]), []).append(row)
        if language_name(job["language"]) is None:
            wanted.setdefault(("language", job["language"]), []).append(row)
        if job["voice"] is not None:
            wanted.setdefault(("voice", job["voice"]), []).append(row)
        elif job["speaker"] is not None:
            wanted.setdefault(("speaker", job["speaker"]), []).append(row)
    if not wanted:
        return []
    slugs = voice_slugs(cache) if any(kind == "voice" for kind, _ in wanted) else []
    known = set(slugs)
    problems = []
    for (kind, name), rows in wanted.items():
        if kind == "voice" and name not in known:
            problems.append(_missing_voice(place(rows[0], kind), name, len(rows), slugs, cache))
        elif kind == "profile":
            problems.append(_unknown(place(rows[0], kind), kind, name, len(rows), PROFILES))
        elif kind == "language":
            problems.append(_unknown(place(rows[0], kind), kind, name, len(rows), (*CODES, AUTO)))
        elif kind == "speaker" and speaker_name(name) is None:
            problems.append(_unknown(place(rows[0], kind), kind, name, len(rows), SPEAKERS))
    return problems


def _unknown(place: str, kind: str, name: str, count: int, names: Sequence[str]) -> str:
    by_lower = {one.lower(): one for one in names}
    near = ", ".join([by_lower[one] for one in nearest(name.lower(), by_lower)] or names)
    return f"{place}: no {kind} {name!r}{_times(count)}; did you mean {near}?"


def _missing_voice(place: str, name: str, count: int, slugs: list[str], cache: Path) -> str:
    if near := nearest(name, slugs):
        advice = f"nearest: {', '.join(near)}"
    elif slugs:
        shown = ", ".join(slugs[:10]) + (", ..." if len(slugs) > 10 else "")
        advice = f"there are: {shown}"
    else:
        advice = "that folder holds no voice; name another with --cache"
    return f"{place}: no voice {name!r} in {voices_dir(cache)}{_times(count)}; {advice}"


def _times(count: int) -> str:
    return f" ({count:,} jobs ask for it)" if count > 1 else ""


def plan_rows(jobs: Sequence[JobSpec]) -> list[dict[str, object]]:
    """Return what `plan` shows of each job."""
    return [
        {
            "request_id": job["request_id"],
            "output_name": job["output_name"],
            "voice": job["voice"],
            "speaker": job["speaker"],
            "language": job["language"],
            "profile": job["profile"],
            "variants": job["variants"],
            "characters": len(job["text"]),
            "estimated_seconds": estimated_seconds(job["text"]),
        }
        for job in jobs
    ]


def totals(jobs: Sequence[JobSpec], rows: Sequence[dict[str, object]]) -> dict[str, object]:
    """Return the sums over a plan. `audio`: what is delivered; `speech`: what is spoken, all variants."""
    audio = speech = 0.0
    characters = 0
    voices: dict[str, int] = {}
    for job, row in zip(jobs, rows, strict=True):
        seconds = row["estimated_seconds"]
        assert isinstance(seconds, float)
        audio += seconds
        speech += seconds * job["variants"]
        characters += len(job["text"])
        who = job["voice"] or job["speaker"] or ""
        voices[who] = voices.get(who, 0) + 1
    return {
        "jobs": len(jobs),
        "characters": characters,
        "estimated_audio_seconds": round(audio, 2),
        "estimated_speech_seconds": round(speech, 2),
        "voices": dict(sorted(voices.items())),
    }
