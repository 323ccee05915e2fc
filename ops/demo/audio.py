"""Says whether a WAV file is speech of a given text, by its length, its level and how the level moves.

Owns the measuring (16-bit PCM, frames of 50 ms) and the bounds. Refuses to judge quality, or which words were said:
that takes ears.
"""

from __future__ import annotations

import math
import re
import sys
import wave
from array import array
from dataclasses import dataclass
from pathlib import Path

FRAME_SECONDS = 0.05
SILENT_DBFS = -50.0
LEVEL_DBFS = (-40.0, -8.0)
WORDS_PER_SECOND = (0.8, 6.0)
LEAST_SECONDS = 0.3
LEAST_VOICED_SHARE = 0.3
LEAST_MOVEMENT_DB = 3.0

_WORD = re.compile(r"[^\W\d_]+(?:['’\-][^\W\d_]+)*|\d+")
_IDEOGRAPH = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


@dataclass(frozen=True)
class Measured:
    """What a file sounds like, in numbers."""

    seconds: float
    level_dbfs: float
    """RMS of the voiced frames."""
    voiced_share: float
    """Share of the frames that are not silence."""
    movement_db: float
    """Standard deviation of the voiced frames' levels: a tone or steady noise has next to none."""


def count_words(text: str) -> int:
    """Words of a text; scripts without spaces count three signs as two words."""
    signs = len(_IDEOGRAPH.findall(text))
    return len(_WORD.findall(_IDEOGRAPH.sub(" ", text))) + math.ceil(signs * 2 / 3)


def _dbfs(power: float) -> float:
    return 10 * math.log10(power) if power > 0 else -120.0


def _frame_powers(samples: array[int], frame: int) -> list[float]:
    powers = []
    for start in range(0, len(samples), frame):
        part = samples[start : start + frame]
        powers.append(sum(sample * sample for sample in part) / len(part) / 32768**2)
    return powers


def measure(path: Path) -> Measured:
    """Read a WAV file; raises ValueError when it is none, or not 16-bit PCM."""
    try:
        with wave.open(str(path)) as audio:
            if audio.getsampwidth() != 2:
                raise ValueError(f"{path} is not 16-bit PCM")
            rate, channels = audio.getframerate(), audio.getnchannels()
            samples = array("h", audio.readframes(audio.getnframes()))
    except (wave.Error, EOFError) as error:
        raise ValueError(f"{path} is not a WAV file: {error}") from error
    if sys.byteorder == "big":
        samples.byteswap()
    samples = samples[::channels]
    powers = _frame_powers(samples, max(1, int(rate * FRAME_SECONDS)))
    voiced = [power for power in powers if _dbfs(power) > SILENT_DBFS]
    levels = [_dbfs(power) for power in voiced]
    mean = sum(levels) / len(levels) if levels else 0.0
    return Measured(
        seconds=len(samples) / rate,
        level_dbfs=_dbfs(sum(voiced) / len(voiced)) if voiced else -120.0,
        voiced_share=len(voiced) / len(powers) if powers else 0.0,
        movement_db=math.sqrt(sum((level - mean) ** 2 for level in levels) / len(levels)) if levels else 0.0,
    )


def why_not_speech(measured: Measured, text: str) -> str | None:
    """Return what is wrong with the sound as a reading of `text`; None when it may well be one."""
    words = count_words(text)
    if measured.seconds < LEAST_SECONDS:
        return f"only {measured.seconds:.2f} s long"
    pace = words / measured.seconds
    slowest, fastest = WORDS_PER_SECOND
    if not slowest <= pace <= fastest:
        return f"{words} words in {measured.seconds:.1f} s is {pace:.1f} words a second"
    if not LEVEL_DBFS[0] <= measured.level_dbfs <= LEVEL_DBFS[1]:
        return f"its level is {measured.level_dbfs:.1f} dBFS"
    if measured.voiced_share < LEAST_VOICED_SHARE:
        return f"{1 - measured.voiced_share:.0%} of it is silence"
    if measured.movement_db < LEAST_MOVEMENT_DB:
        return f"its level moves by {measured.movement_db:.1f} dB only, like a tone or noise"
    return None
