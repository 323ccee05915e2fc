"""Making takes: a text becomes pieces, pieces become samples, samples become one levelled take. Knows no files."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from synth import audio
from synth.chunks import Chunk
from synth.errors import EngineFailed, UnspeakableText
from synth.voicing import Voicing, piece_seed

if TYPE_CHECKING:
    from synth.engines import Engine
    from synth.languages import Language


class Take(NamedTuple):
    """One finished take."""

    take: int
    seed: int
    wav: bytes
    voicing: Voicing
    measures: audio.Measures
    engine_dbfs: float
    gain_db: float
    synth_seconds: float


def make_take(
    engine: Engine,
    pieces: Sequence[Chunk],
    language: Language,
    voicing: Voicing,
    options: Mapping[str, object],
    *,
    take: int,
    seed: int,
) -> Take:
    """Speak the pieces and return the take; UnspeakableText where nothing can be heard."""
    started = time.perf_counter()
    try:
        joined = _speak(engine, pieces, language, voicing, options, seed)
        if audio.is_silent(joined):
            raise UnspeakableText(f"{engine.name} made no sound of this text: check its language ({language.name})")
        levelled, gain_db = audio.level(joined)
        wav = audio.encode_wav(levelled)
        measures = audio.measure(levelled)
    except MemoryError as error:
        raise EngineFailed("out of memory: the text is too long for this machine; split it into jobs") from error
    return Take(
        take=take,
        seed=seed,
        wav=wav,
        voicing=voicing,
        measures=measures,
        engine_dbfs=round(measures.speech_dbfs - gain_db, 2),
        gain_db=gain_db,
        synth_seconds=round(time.perf_counter() - started, 4),
    )


def _speak(
    engine: Engine,
    pieces: Sequence[Chunk],
    language: Language,
    voicing: Voicing,
    options: Mapping[str, object],
    seed: int,
) -> audio.Samples:
    parts: list[tuple[audio.Samples, float]] = []
    for number, piece in enumerate(pieces):
        noise = seed if len(pieces) == 1 else piece_seed(seed, number)
        samples, rate = engine.speak(piece.text, language, voicing, noise, options)
        # A piece of marks alone ("* * *") has no sound: its pause remains.
        parts.append((audio.trim(audio.resample(samples, rate)), piece.pause_seconds))
    return audio.join(parts)
