"""The languages jobs may name: the ten of Qwen3-TTS, with their codes, and `Auto`. Pure, and light.

What each engine needs beyond the names (voices, scripts) is with the engine.
"""

from __future__ import annotations

AUTO = "Auto"

# name -> its code first, then other spellings
CODES: dict[str, tuple[str, ...]] = {
    "English": ("en", "en-us", "en-gb", "eng"),
    "Chinese": ("zh", "zh-cn", "zh-hans", "zho", "chi", "cmn", "mandarin"),
    "Japanese": ("ja", "ja-jp", "jpn"),
    "Korean": ("ko", "ko-kr", "kor"),
    "German": ("de", "de-de", "deu", "ger"),
    "French": ("fr", "fr-fr", "fra", "fre"),
    "Russian": ("ru", "ru-ru", "rus"),
    "Portuguese": ("pt", "pt-pt", "pt-br", "por"),
    "Spanish": ("es", "es-es", "spa"),
    "Italian": ("it", "it-it", "ita"),
}
_NAMES = {key: name for name, codes in CODES.items() for key in (name.lower(), *codes)} | {AUTO.lower(): AUTO}


def spelling(text: str) -> str:
    """Return a name or code in the one spelling that is compared: lower case, hyphens."""
    return text.strip().lower().replace("_", "-")


def language_name(text: str) -> str | None:
    """Return the language that a name or code in any case stands for, `Auto` among them, or None."""
    return _NAMES.get(spelling(text))
