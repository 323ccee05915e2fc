"""The demo's check that a file is speech: real speech passes, what is not speech is named."""

from __future__ import annotations

import math
import random
import wave
from array import array
from collections.abc import Callable
from pathlib import Path

import pytest

from ops.demo.audio import Measured, count_words, measure, why_not_speech

RATE = 16_000
SPEECH = Measured(seconds=2.0, level_dbfs=-20.0, voiced_share=0.8, movement_db=8.0)
TEXT = "one two three four five"


def write(path: Path, sample: Callable[[int], float], seconds: float = 2.0) -> Path:
    with wave.open(str(path), "wb") as audio:
        audio.setnchannels(1)
        audio.setsampwidth(2)
        audio.setframerate(RATE)
        audio.writeframes(array("h", [round(32767 * sample(n)) for n in range(int(seconds * RATE))]).tobytes())
    return path


def tone(n: int) -> float:
    return 0.2 * math.sin(2 * math.pi * 220 * n / RATE)


def syllables(n: int) -> float:
    """A tone that swells and fades four times a second, as speech does."""
    return tone(n) * max(0.0, math.sin(2 * math.pi * 4 * n / RATE)) ** 2


def test_the_numbers_of_a_known_sound_are_right(tmp_path: Path) -> None:
    measured = measure(write(tmp_path / "tone.wav", tone))
    assert measured.seconds == 2.0
    assert measured.level_dbfs == pytest.approx(20 * math.log10(0.2 / math.sqrt(2)), abs=0.05)
    assert measured.voiced_share == 1.0
    assert measured.movement_db < 0.2


def test_a_sound_that_swells_like_syllables_passes(tmp_path: Path) -> None:
    assert why_not_speech(measure(write(tmp_path / "speech.wav", syllables)), TEXT) is None


def test_silence_a_tone_and_noise_do_not_pass(tmp_path: Path) -> None:
    noise = random.Random(1)
    assert why_not_speech(measure(write(tmp_path / "0.wav", lambda _n: 0.0)), TEXT) == "its level is -120.0 dBFS"
    assert "like a tone" in str(why_not_speech(measure(write(tmp_path / "1.wav", tone)), TEXT))
    hiss = measure(write(tmp_path / "2.wav", lambda _n: noise.uniform(-0.3, 0.3)))
    assert "like a tone or noise" in str(why_not_speech(hiss, TEXT))


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"seconds": 0.1}, "only 0.10 s long"),
        ({"seconds": 30.0}, "5 words in 30.0 s is 0.2 words a second"),
        ({"seconds": 0.5}, "5 words in 0.5 s is 10.0 words a second"),
        ({"level_dbfs": -60.0}, "its level is -60.0 dBFS"),
        ({"voiced_share": 0.1}, "90% of it is silence"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(changed: dict[str, float], reason: str) -> None:
    assert why_not_speech(SPEECH, TEXT) is None
    assert why_not_speech(Measured(**{**vars(SPEECH), **changed}), TEXT) == reason


def test_a_file_that_is_no_wav_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(b"RIFF")
    with pytest.raises(ValueError, match="is not a WAV file"):
        measure(tmp_path / "x.wav")


@pytest.mark.parametrize(
    ("text", "words"),
    [("Hello, world!", 2), ("It's 7:45", 3), ("état-major", 1), ("你好世界", 3), ("...", 0)],
)
def test_words_are_counted_in_any_script(text: str, words: int) -> None:
    assert count_words(text) == words
