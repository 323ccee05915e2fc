"""hibari-tts: English, neural, on one CPU core. Only its bundled voice is used, for the others would be downloaded."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from synth.errors import EngineFailed, EngineMissing

if TYPE_CHECKING:
    from synth.engines import Samples
    from synth.languages import Language
    from synth.voicing import Voicing

VOICE = "heart"


class HibariEngine:
    """Keeps one loaded model."""

    name = "hibari"

    def __init__(self) -> None:
        self._model: Any = None

    def installed(self) -> bool:
        """Say whether the package and what it needs are here."""
        return all(find_spec(package) is not None for package in ("hibari", "onnxruntime", "numpy"))

    def languages(self) -> tuple[str, ...]:
        """Return English."""
        return ("English",)

    def version(self) -> str:
        """Return the version of the package."""
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("hibari-tts")
        except PackageNotFoundError:
            return "unknown"

    def how(self) -> str:
        """Return the package that brings it."""
        return "Python package hibari-tts"

    def model(self, language: Language, voicing: Voicing) -> str:  # noqa: ARG002 - one voice for all
        """Return the one bundled voice."""
        return VOICE

    def warnings(self, text: str, language: Language) -> list[str]:  # noqa: ARG002 - nothing known
        """Return nothing: what it cannot speak is refused by script before."""
        return []

    def load(self) -> None:
        """Load the model and its pronunciation tables."""
        if self._model is not None:
            return
        # One core is enough for 100 times real time, and idle BLAS threads only cost start-up.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        try:
            from hibari import Hibari
        except ImportError as error:
            raise EngineMissing(f"the package hibari-tts does not import: {error}") from error
        try:
            model = Hibari(voice=VOICE, threads=1)
            model.phonemize("Ready.")
        except Exception as error:  # onnxruntime's errors share no base of their own
            raise EngineFailed(f"hibari could not load its model: {error}") from error
        self._model = model

    def speak(
        self,
        text: str,
        language: Language,  # noqa: ARG002 - English only
        voicing: Voicing,
        seed: int,
        options: Mapping[str, object],  # noqa: ARG002 - those of the GPU engine
    ) -> tuple[Samples, int]:
        """Speak; the pitch comes from the sample rate, and the speed makes up for it."""
        self.load()
        speed = min(2.0, max(0.5, voicing.speed / voicing.pitch))
        try:
            samples: Samples = self._model(text, speed=speed, seed=seed)
        except Exception as error:  # onnxruntime's errors share no base of their own
            raise EngineFailed(f"hibari failed: {type(error).__name__}: {error}") from error
        return samples, round(self._model.sample_rate * voicing.pitch)
