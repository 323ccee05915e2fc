"""espeak-ng: every other language. A process of its own for each call, because it is GPL and keeps global state.

The `espeak-ng` program where PATH has one, else the library in the espeakng-loader wheel through `espeak_worker`.
VOICE_SYNTH_ESPEAK=binary|library asks for one of the two.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from lib.errors import InputError
from synth.errors import EngineFailed, EngineMissing
from synth.languages import NAMES

if TYPE_CHECKING:
    from synth.engines import Samples
    from synth.languages import Language
    from synth.voicing import Voicing

WORDS_PER_MINUTE = 160
TIMEOUT_BASE_SECONDS = 30.0
TIMEOUT_SECONDS_PER_CHARACTER = 0.01
WORKER = Path(__file__).with_name("espeak_worker.py")


class EspeakEngine:
    """Finds espeak-ng once and starts it for each call."""

    name = "espeak"

    def __init__(self) -> None:
        self._binary = self._library = ""
        wanted = os.environ.get("VOICE_SYNTH_ESPEAK", "")
        if wanted not in ("", "binary", "library"):
            raise InputError(f"VOICE_SYNTH_ESPEAK must be binary or library, not {wanted!r}")
        if wanted != "library":
            self._binary = shutil.which("espeak-ng") or ""
        if wanted != "binary" and not self._binary:
            self._library = _library_folder()

    def installed(self) -> bool:
        """Say whether a binary or the library is here."""
        return bool((self._binary or self._library) and find_spec("numpy"))

    def languages(self) -> tuple[str, ...]:
        """Return all languages of voice-synth."""
        return NAMES

    def version(self) -> str:
        """Ask espeak-ng for its version."""
        output = self._run(["--version"], {"version": ""}).decode("utf-8", "replace")
        words = output.replace("eSpeak NG text-to-speech:", "").split()
        return words[0] if words else "unknown"

    def how(self) -> str:
        """Return the program or the library that speaks."""
        if self._binary:
            return f"program {self._binary}"
        if self._library:
            return f"library in {self._library}"
        return "install the program espeak-ng or the Python package espeakng-loader"

    def model(self, language: Language, voicing: Voicing) -> str:
        """Return espeak-ng's name for the voice."""
        return f"{language.espeak_voice}+{voicing.espeak_variant}" if voicing.espeak_variant else language.espeak_voice

    def warnings(self, text: str, language: Language) -> list[str]:
        """Warn of kanji: espeak-ng knows no readings and names each one a Chinese letter."""
        kanji = language.code == "ja" and any("\u3400" <= character <= "\u9fff" for character in text)
        return ["espeak-ng cannot read kanji: write them in kana"] if kanji else []

    def load(self) -> None:
        """Import numpy: espeak-ng itself has nothing to load."""
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        try:
            import numpy  # noqa: F401 - loaded here so that it counts as loading
        except ImportError as error:
            raise EngineMissing(f"the package numpy does not import: {error}") from error

    def speak(
        self,
        text: str,
        language: Language,
        voicing: Voicing,
        seed: int,  # noqa: ARG002 - espeak-ng has no noise; the seed is in the voicing
        options: Mapping[str, object],  # noqa: ARG002 - those of the GPU engine
    ) -> tuple[Samples, int]:
        """Speak through a process of its own."""
        rate = min(450, max(80, round(WORDS_PER_MINUTE * voicing.speed)))
        pitch = min(99, max(0, round(50 + (voicing.pitch - 1) * 100)))
        spread = min(99, max(0, round(50 * voicing.intonation)))
        voice = self.model(language, voicing)
        # Double brackets would begin espeak-ng's own phoneme notation.
        spoken = text.replace("[[", "[ [").replace("]]", "] ]")
        wav = self._run(
            ["-v", voice, "-s", str(rate), "-p", str(pitch), "-P", str(spread), "-b", "1", "--stdin", "--stdout"],
            {"voice": voice, "rate": rate, "pitch": pitch, "range": spread},
            spoken,
        )
        return decode_wav(wav)

    def _run(self, arguments: list[str], request: dict[str, object], text: str = "") -> bytes:
        command, sent = [self._binary, *arguments], text
        if not self._binary:
            import json

            if not self._library:
                raise EngineMissing(f"espeak-ng is not installed on this machine: {self.how()}")
            # -S and -I: the worker needs nothing installed, and starts in 20 ms without site.
            command = [sys.executable, "-I", "-S", str(WORKER), self._library]
            sent = json.dumps({**request, "text": text})
        timeout = TIMEOUT_BASE_SECONDS + TIMEOUT_SECONDS_PER_CHARACTER * len(text)
        try:
            done = subprocess.run(command, input=sent.encode(), capture_output=True, timeout=timeout, check=False)
        except subprocess.TimeoutExpired as error:
            raise EngineFailed(f"espeak-ng did not finish within {timeout:.0f} s and was ended") from error
        except OSError as error:
            raise EngineFailed(f"espeak-ng could not be started: {error}") from error
        if done.returncode != 0:
            said = done.stderr.decode("utf-8", "replace").strip()[-300:]
            raise EngineFailed(f"espeak-ng ended with status {done.returncode}: {said or 'no message'}")
        return done.stdout


def _library_folder() -> str:
    spec = find_spec("espeakng_loader")
    if spec is None or not spec.submodule_search_locations:
        return ""
    folder = Path(next(iter(spec.submodule_search_locations)))
    return str(folder) if (folder / "espeak-ng-data").is_dir() else ""


def decode_wav(wav: bytes) -> tuple[Samples, int]:
    """Return the samples of a WAV that was written to a pipe: its sizes are wrong, so data is all that follows."""
    import numpy as np

    if not wav:
        return np.zeros(0, np.float32), 22050
    data = wav.find(b"data", 36)
    if wav[:4] != b"RIFF" or wav[8:12] != b"WAVE" or data < 0:
        raise EngineFailed("espeak-ng did not write a WAV")
    rate = int.from_bytes(wav[24:28], "little")
    pcm = wav[data + 8 :]
    samples = np.frombuffer(pcm[: len(pcm) // 2 * 2], "<i2").astype(np.float32) / 32768.0
    return samples, rate
