"""voice-synth as a process, and what real speech looks like in numbers."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import wave
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-P", "-m", "synth")


class Ended(NamedTuple):
    """How a run of voice-synth ended."""

    code: int
    out: str
    err: str


def environment(**changes: str) -> dict[str, str]:
    """The environment of a run: ours without any setting of voice-synth, and the given changes."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("VOICE_SYNTH_", "JOB_RUNNER_"))}
    return kept | {"PYTHONPATH": str(ROOT)} | changes


def voice_synth(*arguments: str | Path, command: Sequence[str] = COMMAND, **changes: str) -> Ended:
    """Run voice-synth to its end."""
    done = subprocess.run(
        [*command, *map(str, arguments)], env=environment(**changes), capture_output=True, timeout=60, check=False
    )
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())


def speak(out: Path, *arguments: str | Path, **changes: str) -> Ended:
    """Run `speak` into a folder with its result beside the audio."""
    return voice_synth("speak", "--out-exact", out, "--json-result", out / "result.json", *arguments, **changes)


def result_of(out: Path) -> dict:
    return json.loads((out / "result.json").read_text(encoding="utf-8"))


def meta_of(out: Path) -> dict:
    return json.loads((out / "takes.meta.json").read_text(encoding="utf-8"))


def listed_files(files: Mapping) -> list[dict]:
    """Every file that a result lists."""
    best = [files["best"]] if files["best"] else []
    return [files["text"], files["meta"], *files["takes"], *best]


def check_files(out: Path) -> dict:
    """Check that a done result lists exactly the files that are there, with their true sizes and hashes; return it."""
    result = result_of(out)
    assert result["status"] == "done", result["error"]
    listed = listed_files(result["files"])
    for entry in listed:
        content = (out / entry["path"]).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (entry["size"], entry["sha256"]), entry
    assert {path.name for path in out.iterdir()} == {entry["path"] for entry in listed} | {"result.json"}
    return result


def samples_of(path: Path) -> np.ndarray:
    """The samples of a WAV that is PCM 16 bit, 24 kHz, mono, with a header that tells its true length."""
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 24000)
        count = file.getnframes()
        pcm = file.readframes(count)
    assert len(pcm) == 2 * count
    assert path.stat().st_size == 44 + 2 * count
    return np.frombuffer(pcm, "<i2").astype(np.float64) / 32768


def decibels(amplitude: float) -> float:
    return float(20 * np.log10(max(amplitude, 1e-9)))


def check_speech(path: Path, shortest: float, longest: float) -> float:
    """Check length, level and the marks of speech (low frequencies, syllables, sounds and silences); return seconds."""
    samples = samples_of(path)
    seconds = len(samples) / 24000
    assert shortest <= seconds <= longest, f"{path.name}: {seconds:.2f} s"
    assert -27 <= decibels(float(np.sqrt(np.mean(samples**2)))) <= -17
    assert -20 <= decibels(float(np.abs(samples).max())) <= -2.9
    frames = samples[: len(samples) // 480 * 480].reshape(-1, 480)
    levels = np.sqrt(np.mean(frames**2, axis=1))
    loud = levels > 0.01 * levels.max()
    assert 0.4 <= loud.mean() <= 0.99, f"{loud.mean():.2f} of the time there is sound"
    assert np.std(20 * np.log10(levels[loud])) > 4, "the level does not move as syllables do"
    spectrum = np.abs(np.fft.rfft(samples)) ** 2
    hertz = np.fft.rfftfreq(len(samples), 1 / 24000)
    assert spectrum[(hertz > 70) & (hertz < 4000)].sum() > 0.8 * spectrum.sum(), "noise rather than a voice"
    return seconds
