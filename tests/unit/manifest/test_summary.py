"""What a plan finds missing, and the sums it shows."""

from __future__ import annotations

from pathlib import Path

from lib.jobqueue import fields
from lib.jobqueue.spec import JobSpec, normalize_job_spec
from lib.manifest.summary import PROFILES, missing_voices, plan_rows, totals
from synth import request, voicing


def job(name: str, **given: object) -> JobSpec:
    return normalize_job_spec({"output_name": name, "voice": "newsroom", "text": "x" * 150, **given}, strict=True)


def place(row: int, field: str) -> str:
    return f"jobs[{row}].{field}"


def cache(folder: Path, *slugs: str) -> Path:
    for slug in slugs:
        (folder / "voices" / slug).mkdir(parents=True)
        (folder / "voices" / slug / "voice.json").write_text("{}")
    return folder


def test_nothing_is_missing_where_all_is_there(tmp_path: Path) -> None:
    jobs = [job("a"), job("b", voice=None, speaker="uncle_fu", profile="stable")]
    assert missing_voices(jobs, cache(tmp_path, "newsroom"), place) == []


def test_each_missing_thing_is_one_line_at_the_first_job(tmp_path: Path) -> None:
    jobs = [job("a", voice="newsrom"), job("b", voice="newsrom"), job("c", profile="blanced")]
    assert missing_voices(jobs, cache(tmp_path, "newsroom"), place) == [
        f"jobs[0].voice: no voice 'newsrom' in {tmp_path}/voices (2 jobs ask for it); nearest: newsroom",
        "jobs[2].profile: no profile 'blanced'; did you mean balanced?",
    ]


def test_a_language_is_checked_by_name_or_code_before_anything_is_spoken(tmp_path: Path) -> None:
    names = ["Englsh", "FR", "auto", "Klingon"]
    jobs = [job(f"j{at}", language=name) for at, name in enumerate(names)]
    typo, unknown = missing_voices(jobs, cache(tmp_path, "newsroom"), place)
    assert typo == "jobs[0].language: no language 'Englsh'; did you mean English, French?"
    assert unknown.startswith("jobs[3].language: no language 'Klingon'; did you mean English, Chinese, Japanese,")


def test_speakers_need_no_voices_folder(tmp_path: Path) -> None:
    assert missing_voices([job("a", voice=None, speaker="Ryan")], tmp_path / "none", place) == []


def test_the_sums_count_takes_apart_from_what_is_delivered() -> None:
    jobs = [job("a"), job("b", variants=3)]
    assert totals(jobs, plan_rows(jobs)) == {
        "jobs": 2,
        "characters": 300,
        "estimated_audio_seconds": 20.0,
        "estimated_speech_seconds": 40.0,
        "voices": {"newsroom": 2},
    }


def test_what_a_plan_accepts_voice_synth_accepts_too() -> None:
    assert tuple(voicing.PROFILES) == PROFILES
    assert fields.MAX_VARIANTS <= request.MAX_VARIANTS
