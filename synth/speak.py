"""`voice-synth speak`: decide who speaks, make the takes, choose one, put the files down, and say what was done."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lib.languages import AUTO
from lib.voices import cache_dir
from synth import engines
from synth.chunks import Chunk, chunk_text
from synth.languages import Language, check_speakable, resolve_language
from synth.output import BEST_NAME, META_NAME, TEXT_NAME, Publication, json_bytes, take_name
from synth.request import SpeakRequest
from synth.selection import ASR, Candidate, Selection, expected_seconds, failed_gates, select
from synth.voice_file import Voice, load_voice
from synth.voicing import SPEAKER_TIMBRES, Timbre, voicing

if TYPE_CHECKING:
    from synth.takes import Take

RESULT_VERSION = 1
APP = "voice-synth"


class Plan(NamedTuple):
    """Everything decided before an engine is loaded."""

    engine: engines.Engine
    language: Language
    timbre: Timbre
    degraded: bool
    pieces: list[Chunk]
    warnings: list[str]


def plan(request: SpeakRequest) -> Plan:
    """Decide who speaks what; every refusal of a wrong job happens here or earlier."""
    voice = load_voice(cache_dir(request.cache), request.voice) if request.voice else None
    text = request.text.spoken
    language = resolve_language(request.language or (voice and voice.language) or AUTO, text)
    choice = engines.choose(request.engine, voice.engine if voice else "auto", language)
    warnings = [*choice.warnings, *check_speakable(text, language), *choice.engine.warnings(text, language)]
    if request.options:
        warnings.append(f"{choice.engine.name} ignores {', '.join(request.options)}")
    timbre, degraded = _timbre(voice, request.speaker)
    pieces = chunk_text(text) if request.chunk else [Chunk(text.strip(), 0.0)]
    return Plan(choice.engine, language, timbre, degraded, pieces, warnings)


def _timbre(voice: Voice | None, speaker: str | None) -> tuple[Timbre, bool]:
    """Return the timbre, and whether it only stands in for one that another engine would have."""
    if speaker is not None:
        return SPEAKER_TIMBRES[speaker], True
    if voice is None or voice.embedded is None:
        return Timbre(), True
    return voice.embedded, False


def speak(request: SpeakRequest, started: float) -> dict[str, object]:
    """Do the job; return the content of the result file. `started` is a time.perf_counter()."""
    planned = plan(request)
    with Publication(Path(request.out_exact)) as publication:
        load_started = time.perf_counter()
        planned.engine.load()
        load_seconds = time.perf_counter() - load_started
        takes, entries = _takes(request, planned, publication)
        expected = [expected_seconds(request.text.spoken, take.voicing.speed) for take in takes]
        candidates = [_candidate(take) for take in takes]
        selection = _selection(request, candidates, expected)
        faults = [failed_gates(*pair) for pair in zip(candidates, expected, strict=True)]
        chosen = next((take for take in takes if take.take == selection["take"]), None)
        best = publication.copy(take_name(chosen.take), BEST_NAME) if chosen else None
        timings = {
            "load_seconds": round(load_seconds, 4),
            "synth_seconds": round(sum(take.synth_seconds for take in takes), 4),
            "total_seconds": round(time.perf_counter() - started, 4),
        }
        head = result_head(request) | _head(request, planned, chosen or takes[0])
        meta = head | _meta(request, planned, takes, expected, faults) | {"selection": selection, "timings": timings}
        files = {
            "text": publication.add(TEXT_NAME, request.text.raw),
            "meta": publication.add(META_NAME, json_bytes(meta)),
            "takes": entries,
            "best": best | {"seconds": chosen.measures.seconds} if best and chosen else None,
        }
        publication.publish(Path(request.json_result) if request.json_result else None)
    return head | {"status": "done", "files": files, "selection": selection, "timings": timings, "error": None}


def _takes(
    request: SpeakRequest, planned: Plan, publication: Publication
) -> tuple[list[Take], list[dict[str, object]]]:
    """Make every take and write it aside at once, so that memory holds one take however many there are."""
    from synth.takes import make_take

    takes, entries = [], []
    for number in range(1, request.variants + 1):
        seed = request.seed + number - 1
        sound = voicing(request.profile, planned.timbre, seed, speaker=request.speaker, voice=request.voice)
        take = make_take(
            planned.engine, planned.pieces, planned.language, sound, request.options, take=number, seed=seed
        )
        entry = publication.add(take_name(number), take.wav)
        entries.append(entry | {"seconds": take.measures.seconds, "seed": seed})
        takes.append(take._replace(wav=b""))
    return takes, entries


def _candidate(take: Take) -> Candidate:
    measures = take.measures
    return Candidate(
        take=take.take,
        seconds=measures.spoken_seconds(),
        lead_silence_seconds=measures.lead_silence_seconds,
        tail_silence_seconds=measures.tail_silence_seconds,
        longest_gap_seconds=measures.longest_gap_seconds,
        clipped_share=measures.clipped_share,
        engine_dbfs=take.engine_dbfs,
    )


def _selection(request: SpeakRequest, candidates: list[Candidate], expected: list[float]) -> dict[str, object]:
    if not request.select_best:
        return {"enabled": False, "take": None, "why": "not asked for", "asr": ASR}
    chosen: Selection = select(candidates, expected)
    return {"enabled": True, "take": chosen.take, "why": chosen.why, "asr": ASR}


def result_head(request: SpeakRequest | None) -> dict[str, object]:
    """Return what a result file begins with, also that of a failure; unknown values are null."""
    return {
        "schema_version": RESULT_VERSION,
        "app": APP,
        "status": "failed",
        "created_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "engine": None,
        "engine_version": None,
        "model": None,
        "degraded": None,
        "voice": request.voice if request else None,
        "speaker": request.speaker if request else None,
        "language": request.language if request else None,
        "seed": request.seed if request else None,
        "audio_seconds": None,
    }


def _head(request: SpeakRequest, planned: Plan, delivered: Take) -> dict[str, object]:
    return {
        "engine": planned.engine.name,
        "engine_version": planned.engine.version(),
        "model": planned.engine.model(planned.language, delivered.voicing),
        "degraded": planned.degraded,
        "language": planned.language.name,
        "seed": request.seed,
        "audio_seconds": delivered.measures.seconds,
    }


def _meta(
    request: SpeakRequest, planned: Plan, takes: list[Take], expected: list[float], faults: list[list[str]]
) -> dict[str, object]:
    """Return what takes.meta.json says beyond the head."""
    return {
        "status": "done",
        "engine_requested": request.engine,
        "engine_found": planned.engine.how(),
        "language_requested": request.language,
        "text": request.text.spoken,
        "profile": request.profile,
        "variants": request.variants,
        "chunked": request.chunk,
        "pieces": [{"text": piece.text, "pause_seconds": piece.pause_seconds} for piece in planned.pieces],
        "ignored_options": request.options,
        "warnings": planned.warnings,
        "takes": [
            {
                "take": take.take,
                "wav": take_name(take.take),
                "seed": take.seed,
                "speed": take.voicing.speed,
                "pitch": take.voicing.pitch,
                "intonation": take.voicing.intonation,
                "expected_seconds": round(due, 3),
                "failed_gates": failed,
                "engine_dbfs": take.engine_dbfs,
                "gain_db": take.gain_db,
                "synth_seconds": take.synth_seconds,
                **take.measures._asdict(),
            }
            for take, due, failed in zip(takes, expected, faults, strict=True)
        ],
    }
