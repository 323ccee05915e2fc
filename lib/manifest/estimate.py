"""How long a text takes to speak, roughly: what plans show, batches are sized by and deadlines are set from. Pure."""

from __future__ import annotations

CHARACTERS_PER_SECOND = 15.0  # Latin, Cyrillic, Arabic and the like, spaces included
SYLLABLES_PER_SECOND = 4.5  # scripts where one character is a syllable or more
LEAST_SECONDS = 0.5
LEAST_DEADLINE_SECONDS = 120.0
DEADLINE_FACTOR = 20.0

_SYLLABIC = r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]"


def estimated_seconds(text: str, variants: int = 1) -> float:
    """Return the estimated seconds of speech of `text`, spoken `variants` times."""
    syllables = 0
    if not text.isascii():
        import re  # compiled (and kept by re) where it is first needed: most files never do

        syllables = len(re.findall(_SYLLABIC, text))
    seconds = (len(text) - syllables) / CHARACTERS_PER_SECOND + syllables / SYLLABLES_PER_SECOND
    return round(max(LEAST_SECONDS, seconds) * variants, 2)


def deadline_seconds(estimated: float) -> float:
    """Return how long a job may run before it is killed: generous, because a slow machine still finishes."""
    return round(max(LEAST_DEADLINE_SECONDS, DEADLINE_FACTOR * estimated), 2)
