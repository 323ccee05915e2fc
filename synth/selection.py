"""Which take is the best, and why. Pure.

Gates first (a cut, runaway, clipped, faint or gappy take), then pace: how near its length is to what the text needs,
and then to the middle of the takes. No speech recognition: it says `asr: none`, and cannot know a wrong word.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

ASR = "none"
MIN_LENGTH_RATIO, MAX_LENGTH_RATIO = 0.5, 2.0
MAX_END_SILENCE_SECONDS = 1.0
MAX_GAP_SECONDS = 2.0
MAX_CLIPPED_SHARE = 0.001
MIN_ENGINE_DBFS = -45.0
PACE_TOLERANCE = 0.15

# Seconds that one character takes, measured on both embedded engines at speed 1.
_SECONDS = {"han": 0.25, "kana": 0.16, "hangul": 0.20, "digit": 0.32, "letter": 0.068, "mark": 0.3}
_HAN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")
_KANA = re.compile(r"[\u3040-\u30ff\uff66-\uff9f]")
_HANGUL = re.compile(r"[\uac00-\ud7af]")
_MARK = re.compile(r"[.!?…:;](?=\s)|[。！？]|\n\s*\n|,\s")


class Candidate(NamedTuple):
    """What selection knows of a take."""

    take: int
    seconds: float
    lead_silence_seconds: float
    tail_silence_seconds: float
    longest_gap_seconds: float
    clipped_share: float
    engine_dbfs: float


class Selection(NamedTuple):
    """The chosen take, and why, in a sentence."""

    take: int
    why: str


def expected_seconds(text: str, speed: float = 1.0) -> float:
    """Return about how long the text is when spoken at that speed, without silence at the ends."""
    han, kana, hangul = (len(pattern.findall(text)) for pattern in (_HAN, _KANA, _HANGUL))
    digits = sum(map(str.isdigit, text))
    letters = max(0, sum(map(str.isalpha, text)) - han - kana - hangul)
    marks = len(_MARK.findall(text))
    counts = {"han": han, "kana": kana, "hangul": hangul, "digit": digits, "letter": letters, "mark": marks}
    return (0.25 + sum(_SECONDS[kind] * count for kind, count in counts.items())) / speed


def failed_gates(take: Candidate, expected: float) -> list[str]:
    """Return what is wrong with a take; nothing for a good one."""
    ratio = take.seconds / expected
    checks = (
        (ratio < MIN_LENGTH_RATIO, f"too short: {take.seconds:.1f} s where about {expected:.1f} s are due"),
        (ratio > MAX_LENGTH_RATIO, f"too long: {take.seconds:.1f} s where about {expected:.1f} s are due"),
        (take.lead_silence_seconds > MAX_END_SILENCE_SECONDS, "begins with silence"),
        (take.tail_silence_seconds > MAX_END_SILENCE_SECONDS, "ends with silence"),
        (take.longest_gap_seconds > MAX_GAP_SECONDS, f"a gap of {take.longest_gap_seconds:.1f} s"),
        (take.clipped_share > MAX_CLIPPED_SHARE, "clipped"),
        (take.engine_dbfs < MIN_ENGINE_DBFS, f"faint: {take.engine_dbfs:.0f} dBFS"),
    )
    return [fault for failed, fault in checks if failed]


def select(takes: Sequence[Candidate], expected: Sequence[float]) -> Selection:
    """Return the best take: fewest failed gates, then pace, then the lower number."""
    faults = {take.take: failed_gates(take, due) for take, due in zip(takes, expected, strict=True)}
    fewest = min(map(len, faults.values()))
    left = [pair for pair in zip(takes, expected, strict=True) if len(faults[pair[0].take]) == fewest]
    lengths = sorted(take.seconds for take, _ in left)
    middle = (lengths[(len(lengths) - 1) // 2] + lengths[len(lengths) // 2]) / 2

    def rank(pair: tuple[Candidate, float]) -> tuple[float, float, int]:
        take, due = pair
        off_pace = max(0.0, abs(math.log(take.seconds / due)) - PACE_TOLERANCE)
        return (round(off_pace, 6), round(abs(take.seconds - middle), 6), take.take)

    best, due = min(left, key=rank)
    return Selection(best.take, _why(best, due, len(takes), len(left), faults[best.take]))


def _why(best: Candidate, due: float, count: int, passed: int, faults: list[str]) -> str:
    pace = f"{best.seconds:.2f} s of speech where about {due:.2f} s are due"
    if count == 1:
        verdict = f"the only take; {'; '.join(faults) if faults else 'it passed every gate'}"
    elif faults:
        verdict = f"no take passed every gate; take {best.take} fails the fewest ({'; '.join(faults)})"
    else:
        verdict = f"{passed} of {count} takes passed every gate; take {best.take} has the pace nearest to the middle"
    return f"{verdict}: {pace}"
