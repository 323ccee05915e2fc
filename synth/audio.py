"""Samples to delivered audio: resampling, trimming, joining, one gain, measures, WAV. The only module on numpy
besides the engines. Everything stays float until the file is written: PCM 16 bit, 24 kHz, mono.
"""

from __future__ import annotations

import functools
import io
import math
import wave
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

SAMPLE_RATE = 24_000
TARGET_SPEECH_DBFS = -20.0
PEAK_CEILING_DBFS = -3.0
MAX_GAIN_DB = 30.0
SILENT_DBFS = -60.0
LEAD_SECONDS = 0.08
TAIL_SECONDS = 0.25

_FRAME = SAMPLE_RATE // 50
_CLIPPED = 0.999
_FADE = SAMPLE_RATE // 200
# Samples of one phase filtered at a time, so that they stay in the processor's cache.
_BLOCK = 512
_TAPS_HALF = 24
_KAISER_BETA = 9.0


class Measures(NamedTuple):
    """What is known of a take by listening to its numbers."""

    seconds: float
    peak_dbfs: float
    rms_dbfs: float
    speech_dbfs: float
    lead_silence_seconds: float
    tail_silence_seconds: float
    longest_gap_seconds: float
    clipped_share: float

    def spoken_seconds(self) -> float:
        """Return the seconds between the first and the last sound."""
        return max(0.0, self.seconds - self.lead_silence_seconds - self.tail_silence_seconds)


def resample(samples: Samples, rate: int, target: int = SAMPLE_RATE) -> Samples:
    """Return the samples at another rate, by a Kaiser-windowed sinc that keeps 90 dB below what would alias."""
    if rate == target or not len(samples):
        return samples.astype(np.float32, copy=False)
    common = math.gcd(rate, target)
    up, down = target // common, rate // common
    bank = _filters(up, down)
    taps = bank.shape[1]
    length = -(-len(samples) * up // down)
    half = taps // 2
    padded = np.concatenate([np.zeros(half - 1, np.float32), samples, np.zeros(half + down + 1, np.float32)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, taps)
    out = np.empty(length, np.float32)
    for start in range(0, length, up * _BLOCK):
        end = min(length, start + up * _BLOCK)
        for phase in range(min(up, end - start)):
            first, fraction = divmod(phase * down, up)
            first += start // up * down
            count = -(-(end - start - phase) // up)
            out[start + phase : end : up] = windows[first : first + (count - 1) * down + 1 : down] @ bank[fraction]
    return out


@functools.lru_cache(maxsize=16)
def _filters(up: int, down: int) -> Samples:
    """Return one low-pass for each of the `up` positions between two input samples."""
    cutoff = min(1.0, up / down) * 0.95
    half = math.ceil(_TAPS_HALF / cutoff)
    offsets = np.arange(-half + 1, half + 1)[None, :] - np.arange(up)[:, None] / up
    window = np.i0(_KAISER_BETA * np.sqrt(np.clip(1 - (offsets / half) ** 2, 0, None))) / np.i0(_KAISER_BETA)
    bank = cutoff * np.sinc(cutoff * offsets) * window
    filters: Samples = (bank / bank.sum(axis=1, keepdims=True)).astype(np.float32)
    return filters


def trim(samples: Samples, lead: float = LEAD_SECONDS, tail: float = TAIL_SECONDS) -> Samples:
    """Return the samples with at most that much silence at the ends, faded so that no end clicks.

    Samples without any sound come back empty.
    """
    loud = _loud_frames(samples)
    if not loud.any():
        return samples[:0]
    first = max(0, int(np.argmax(loud)) * _FRAME - round(lead * SAMPLE_RATE))
    last = (len(loud) - int(np.argmax(loud[::-1]))) * _FRAME + round(tail * SAMPLE_RATE)
    cut = samples[first:last].copy()
    fade = min(_FADE, len(cut) // 2)
    ramp = np.linspace(0.0, 1.0, fade, dtype=np.float32)
    cut[:fade] *= ramp
    cut[len(cut) - fade :] *= ramp[::-1]
    return cut


def join(pieces: list[tuple[Samples, float]]) -> Samples:
    """Return the pieces in a row, each followed by its pause in seconds."""
    parts: list[Samples] = []
    for samples, pause_seconds in pieces:
        parts += [samples, np.zeros(round(pause_seconds * SAMPLE_RATE), np.float32)]
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def level(samples: Samples) -> tuple[Samples, float]:
    """Return the samples at the target level under the peak ceiling, by one gain, and that gain in dB."""
    speech, peak = _speech_rms(samples), _peak(samples)
    if not peak:
        return samples, 0.0
    gain_db = min(TARGET_SPEECH_DBFS - _db(speech), PEAK_CEILING_DBFS - _db(peak), MAX_GAIN_DB)
    return (samples * np.float32(10 ** (gain_db / 20))).astype(np.float32), round(gain_db, 2)


def measure(samples: Samples) -> Measures:
    """Return the measures of mono samples at SAMPLE_RATE."""
    loud = _loud_frames(samples)
    lead, tail, gap = _silences(loud)
    return Measures(
        seconds=round(len(samples) / SAMPLE_RATE, 4),
        peak_dbfs=round(_db(_peak(samples)), 2),
        rms_dbfs=round(_db(_rms(samples)), 2),
        speech_dbfs=round(_db(_speech_rms(samples)), 2),
        lead_silence_seconds=lead,
        tail_silence_seconds=tail,
        longest_gap_seconds=gap,
        clipped_share=round(_count_clipped(samples) / max(1, len(samples)), 6),
    )


def is_silent(samples: Samples) -> bool:
    """Say whether nothing can be heard."""
    return not len(samples) or _db(_peak(samples)) < SILENT_DBFS


def encode_wav(samples: Samples) -> bytes:
    """Return a whole WAV file: PCM 16 bit, mono, SAMPLE_RATE."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.setnframes(len(samples))
        for start in range(0, len(samples), SAMPLE_RATE * 60):  # by minutes: two hours fit into memory only once
            minute = samples[start : start + SAMPLE_RATE * 60]
            file.writeframesraw(np.clip(np.rint(minute * 32767.0), -32768, 32767).astype("<i2").tobytes())
    return buffer.getvalue()


def _frame_rms(samples: Samples) -> Samples:
    whole = len(samples) // _FRAME * _FRAME
    frames = samples[:whole].reshape(-1, _FRAME)
    rest = samples[whole:]
    levels: Samples = np.sqrt(np.einsum("ij,ij->i", frames, frames) / np.float32(_FRAME))
    return np.append(levels, np.float32(np.sqrt(np.mean(np.square(rest))))) if len(rest) else levels


def _loud_frames(samples: Samples) -> NDArray[np.bool_]:
    """Say of each frame of 20 ms whether it is above the silence, which lies 40 dB under the loudest frame."""
    levels = _frame_rms(samples)
    if not len(levels):
        return np.zeros(0, np.bool_)
    floor = max(float(levels.max()) * 0.01, 10 ** (SILENT_DBFS / 20) / 2)
    return levels > floor


def _silences(loud: NDArray[np.bool_]) -> tuple[float, float, float]:
    frame_seconds = _FRAME / SAMPLE_RATE
    if not loud.any():
        whole = round(len(loud) * frame_seconds, 3)
        return whole, whole, whole
    at = np.flatnonzero(loud)
    gaps = np.diff(at) - 1
    longest = int(gaps.max()) if len(gaps) else 0
    silent = (int(at[0]), len(loud) - 1 - int(at[-1]), longest)
    lead, tail, gap = (round(frames * frame_seconds, 3) for frames in silent)
    return lead, tail, gap


def _speech_rms(samples: Samples) -> float:
    """Return the level of the speech alone: pauses would make a slow take louder than a quick one."""
    levels = _frame_rms(samples)
    loud = _loud_frames(samples)
    return float(np.sqrt(np.mean(np.square(levels[loud])))) if loud.any() else 0.0


def _count_clipped(samples: Samples) -> int:
    return int(np.count_nonzero(samples >= _CLIPPED)) + int(np.count_nonzero(samples <= -_CLIPPED))


def _rms(samples: Samples) -> float:
    if not len(samples):
        return 0.0
    levels = _frame_rms(samples).astype(np.float64)
    lengths = np.full(len(levels), _FRAME)
    lengths[-1] = len(samples) - _FRAME * (len(levels) - 1)
    return float(np.sqrt(np.average(np.square(levels), weights=lengths)))


def _peak(samples: Samples) -> float:
    return max(float(samples.max()), -float(samples.min())) if len(samples) else 0.0


def _db(amplitude: float) -> float:
    return 20 * math.log10(max(amplitude, 1e-6))
