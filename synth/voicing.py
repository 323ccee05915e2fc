"""How a take is to sound: speed, pitch and intonation from the profile, the voice or speaker, and the seed. Pure.

The embedded engines give nearly the same audio for every seed, so the seed moves speed and pitch a little; takes then
differ audibly, and what was asked of the engine is recorded. (hibari rounds each sound to 12.5 ms, so that it answers a
few per cent of speed with less; its pitch is exact.)
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple


class Profile(NamedTuple):
    """What a profile changes: tempo, how lively the intonation is, and how far the seed may move a take."""

    speed: float
    intonation: float
    speed_jitter: float
    pitch_jitter: float


PROFILES = {
    "stable": Profile(speed=0.98, intonation=0.8, speed_jitter=0.01, pitch_jitter=0.0),
    "balanced": Profile(speed=1.0, intonation=1.0, speed_jitter=0.03, pitch_jitter=0.01),
    "expressive": Profile(speed=1.02, intonation=1.4, speed_jitter=0.03, pitch_jitter=0.02),
}


class Timbre(NamedTuple):
    """How a voice or speaker sounds on the embedded engines. `pitch` is a ratio to the engine's own voice."""

    speed: float = 1.0
    pitch: float = 1.0
    espeak_variant: str = ""


# hibari has one female voice; a lower pitch also lowers its formants, which is what makes it another person.
SPEAKER_TIMBRES = {
    "Vivian": Timbre(1.02, 1.04, "f2"),
    "Serena": Timbre(0.96, 0.97, "f3"),
    "Uncle_Fu": Timbre(0.93, 0.78, "m7"),
    "Dylan": Timbre(1.02, 0.87, "m1"),
    "Eric": Timbre(1.03, 0.85, "m3"),
    "Ryan": Timbre(1.0, 0.82, "m2"),
    "Aiden": Timbre(1.0, 0.89, "m4"),
    "Ono_Anna": Timbre(1.03, 1.09, "f4"),
    "Sohee": Timbre(0.98, 1.01, "f1"),
}
SPEAKER_ABOUT = {
    "Vivian": "young woman, bright",
    "Serena": "young woman, warm and gentle",
    "Uncle_Fu": "older man, low and mellow",
    "Dylan": "young man, clear",
    "Eric": "man, lively and a little husky",
    "Ryan": "man, dynamic",
    "Aiden": "man, sunny",
    "Ono_Anna": "young woman, light and playful",
    "Sohee": "woman, warm and full of feeling",
}


class Voicing(NamedTuple):
    """What an engine is told of one take."""

    speed: float
    pitch: float
    intonation: float
    espeak_variant: str
    speaker: str | None
    voice: str | None


def voicing(
    profile: str, timbre: Timbre, seed: int, *, speaker: str | None = None, voice: str | None = None
) -> Voicing:
    """Return the settings of the take with that seed."""
    chosen = PROFILES[profile]
    speed = timbre.speed * chosen.speed * (1 + chosen.speed_jitter * unit(seed, "speed"))
    pitch = timbre.pitch * (1 + chosen.pitch_jitter * unit(seed, "pitch"))
    return Voicing(
        speed=round(min(2.0, max(0.5, speed)), 4),
        pitch=round(min(1.5, max(0.6, pitch)), 2),
        intonation=chosen.intonation,
        espeak_variant=timbre.espeak_variant,
        speaker=speaker,
        voice=voice,
    )


def unit(seed: int, what: str) -> float:
    """Return a number from -1 to 1 that the seed and the word decide."""
    digest = hashlib.sha256(f"{what}:{seed}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / (2**64 - 1) * 2 - 1


def piece_seed(seed: int, piece: int) -> int:
    """Return the seed of the n-th piece of a take, so that two pieces never share their noise."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{piece}".encode()).digest()[:4], "big")
