"""The engines and the one rule by which an engine is chosen.

An engine turns text into samples and knows nothing of files, takes or jobs. What is heavy is imported by `load`, so
that asking what is installed, and refusing a wrong job, costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol

from synth.errors import EngineMissing, UnsupportedLanguage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from synth.languages import Language
    from synth.voicing import Voicing

    Samples = NDArray[np.float32]

REQUESTS = ("auto", "embedded", "hibari", "espeak", "qwen")
EMBEDDED = ("hibari", "espeak")


class Engine(Protocol):
    """What `speak` and a warm server need of an engine."""

    name: str

    def installed(self) -> bool:
        """Say whether this machine has the engine, without loading it."""

    def languages(self) -> tuple[str, ...]:
        """Return the names of the languages it speaks."""

    def version(self) -> str:
        """Return the version of the engine; it is installed."""

    def how(self) -> str:
        """Return where it was found, for people."""

    def model(self, language: Language, voicing: Voicing) -> str:
        """Return the name of the model or voice that will speak."""

    def warnings(self, text: str, language: Language) -> list[str]:
        """Return what of the text it is known to speak badly."""

    def load(self) -> None:
        """Import and load what speaking needs. Safe to repeat."""

    def speak(
        self, text: str, language: Language, voicing: Voicing, seed: int, options: Mapping[str, object]
    ) -> tuple[Samples, int]:
        """Return mono samples from -1 to 1 and their rate in Hz; none at all where it has nothing to say.

        `options` are those of the GPU engine (temperature, instruct …); an engine ignores what it does not know.
        """


class Choice(NamedTuple):
    """The engine that will speak, and what the user should know of the choice."""

    engine: Engine
    warnings: list[str]


_loaded: dict[str, Engine] = {}


def engine(name: str) -> Engine:
    """Return the one engine of that name in this process; it keeps its model between jobs."""
    if name not in _loaded:
        _loaded[name] = _make(name)
    return _loaded[name]


def _make(name: str) -> Engine:
    if name == "hibari":
        from synth.engines.hibari import HibariEngine

        return HibariEngine()
    if name == "espeak":
        from synth.engines.espeak import EspeakEngine

        return EspeakEngine()
    raise EngineMissing(
        f"the engine {name!r} is not installed on this machine; `voice-synth capabilities` lists what is"
    )


def choose(requested: str, preferred: str, language: Language) -> Choice:
    """Return the engine for a request and, where the request is open, for what the voice prefers."""
    if requested in EMBEDDED or requested == "qwen":
        return Choice(_named(requested, language), [])
    if preferred in EMBEDDED and language.name in engine(preferred).languages():
        return Choice(_named(preferred, language), [])
    warnings = [f"the voice prefers {preferred}, which does not speak {language.name}"] if preferred in EMBEDDED else []
    able = [engine(name) for name in EMBEDDED if language.name in engine(name).languages()]
    for position, candidate in enumerate(able):
        if candidate.installed():
            if position:
                warnings.append(f"{able[0].name} is not installed, so {candidate.name} speaks {language.name}")
            return Choice(candidate, warnings)
    raise EngineMissing(
        f"no engine for {language.name} is installed on this machine: install {' or '.join(one.name for one in able)}"
    )


def _named(name: str, language: Language) -> Engine:
    chosen = engine(name)
    if language.name not in chosen.languages():
        raise UnsupportedLanguage(
            f"the engine {name} does not speak {language.name}; it speaks {', '.join(chosen.languages())}"
        )
    if not chosen.installed():
        raise EngineMissing(f"the engine {name} is not installed on this machine: {chosen.how()}")
    return chosen
