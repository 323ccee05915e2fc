from __future__ import annotations

import io
import wave

import numpy as np
import pytest

from synth import audio
from synth.audio import SAMPLE_RATE


def tone(seconds: float, hertz: float = 440.0, amplitude: float = 0.1, rate: int = SAMPLE_RATE) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * SAMPLE_RATE), np.float32)


@pytest.mark.parametrize("rate", [16000, 19680, 22050, 26160, 44100, 48000])
@pytest.mark.parametrize("hertz", [100, 1000, 6500])
def test_resampling_keeps_a_tone_in_place_and_in_phase(rate, hertz):
    resampled = audio.resample(tone(1.0, hertz, 0.5, rate), rate)
    due = tone(1.0, hertz, 0.5)
    assert abs(len(resampled) - len(due)) <= 1
    middle = slice(2000, len(due) - 2000)
    assert np.max(np.abs(resampled[middle] - due[middle])) < 1e-4


def test_resampling_lets_nothing_alias():
    assert np.max(np.abs(audio.resample(tone(1.0, 15000, 1.0, 48000), 48000)[2000:-2000])) < 1e-4


@pytest.mark.parametrize("count", [0, 1, 2, 7, 146, 147, 148, 1000])
def test_resampling_takes_any_length(count):
    assert len(audio.resample(np.ones(count, np.float32), 22050)) == -(-count * 160 // 147)


def test_trimming_leaves_a_little_silence_and_no_click():
    trimmed = audio.trim(np.concatenate([silence(1.0), tone(0.5), silence(2.0)]))
    assert len(trimmed) / SAMPLE_RATE == pytest.approx(0.5 + audio.LEAD_SECONDS + audio.TAIL_SECONDS, abs=0.04)
    assert abs(trimmed[0]) == abs(trimmed[-1]) == 0.0


def test_trimming_silence_leaves_nothing():
    assert len(audio.trim(silence(1.0))) == len(audio.trim(silence(0.0))) == 0
    assert audio.is_silent(silence(1.0))
    assert audio.is_silent(silence(0.0))


def test_pieces_are_joined_with_their_pauses():
    joined = audio.join([(tone(1.0), 0.5), (silence(0.0), 0.25), (tone(1.0), 0.0)])
    assert len(joined) == round(2.75 * SAMPLE_RATE)
    assert not joined[round(1.01 * SAMPLE_RATE) : round(1.74 * SAMPLE_RATE)].any()


@pytest.mark.parametrize("amplitude", [0.01, 0.05, 0.4, 1.0])
def test_one_gain_brings_speech_to_the_target(amplitude):
    samples = np.concatenate([tone(1.0, amplitude=amplitude), silence(1.0), tone(0.3, amplitude=amplitude)])
    levelled, gain_db = audio.level(samples)
    assert audio.measure(levelled).speech_dbfs == pytest.approx(audio.TARGET_SPEECH_DBFS, abs=0.1)
    assert np.allclose(levelled, samples * 10 ** (gain_db / 20), rtol=1e-3)


def test_the_peak_ceiling_wins_over_the_target():
    spiky = tone(1.0, amplitude=0.02)
    spiky[12000] = 0.5
    measures = audio.measure(audio.level(spiky)[0])
    assert measures.peak_dbfs == pytest.approx(audio.PEAK_CEILING_DBFS, abs=0.01)
    assert measures.speech_dbfs < audio.TARGET_SPEECH_DBFS
    assert measures.clipped_share == 0.0


def test_the_measures_find_silence_gaps_and_clipping():
    measures = audio.measure(
        np.concatenate([silence(0.4), tone(1.0), silence(2.4), tone(0.5, amplitude=1.2), silence(1)])
    )
    assert measures.seconds == pytest.approx(5.3)
    assert measures.lead_silence_seconds == pytest.approx(0.4, abs=0.03)
    assert measures.tail_silence_seconds == pytest.approx(1.0, abs=0.03)
    assert measures.longest_gap_seconds == pytest.approx(2.4, abs=0.05)
    assert measures.spoken_seconds() == pytest.approx(3.9, abs=0.06)
    assert 0.01 < measures.clipped_share < 0.1


def test_a_wav_is_pcm_16_mono_24_khz_and_clips_instead_of_wrapping():
    content = audio.encode_wav(np.array([0.0, 0.5, -0.5, 1.5, -1.5], np.float32))
    with wave.open(io.BytesIO(content)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 24000)
        assert np.frombuffer(file.readframes(9), "<i2").tolist() == [0, 16384, -16384, 32767, -32768]
