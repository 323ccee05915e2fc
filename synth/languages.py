"""The languages voice-synth speaks, their names and codes, and which scripts each can be written in. Pure.

Refuses to guess between languages of one script: `Auto` takes Latin text for English.
"""

from __future__ import annotations

import unicodedata
from typing import NamedTuple

from lib.languages import AUTO, CODES, language_name, spelling
from synth.errors import UnspeakableText, UnsupportedLanguage


class Language(NamedTuple):
    """One language: its name, its code, the name espeak-ng has for it, and the scripts it is written in."""

    name: str
    code: str
    espeak_voice: str
    scripts: frozenset[str]


_SCRIPT_NAMES = {"CJK": "Chinese characters", "": "an unknown script"}
_LATIN = frozenset({"LATIN"})


def _language(name: str, espeak_voice: str, scripts: str = "LATIN") -> Language:
    return Language(name, CODES[name][0], espeak_voice, frozenset(scripts.split()))


LANGUAGES = (
    _language("English", "en-us"),
    _language("Chinese", "cmn", "CJK BOPOMOFO LATIN"),
    _language("Japanese", "ja", "HIRAGANA KATAKANA CJK LATIN"),
    _language("Korean", "ko", "HANGUL CJK LATIN"),
    _language("German", "de"),
    _language("French", "fr"),
    _language("Russian", "ru", "CYRILLIC LATIN"),
    _language("Portuguese", "pt"),
    _language("Spanish", "es"),
    _language("Italian", "it"),
)
NAMES = tuple(language.name for language in LANGUAGES)

_BY_NAME = {language.name: language for language in LANGUAGES}
_BY_CODE = {language.code: language for language in LANGUAGES}
# espeak-ng knows these by their own voices; the others share one voice for all their regions.
_REGIONAL_ESPEAK = {"en-gb": "en", "pt-br": "pt-br"}


def resolve_language(name: str, text: str) -> Language:
    """Return the language for a name or code in any case; `Auto` goes by the script of the text."""
    known = language_name(name)
    if known == AUTO:
        return _by_script(text)
    if known is None:
        codes = ", ".join(f"{one.name} ({one.code})" for one in LANGUAGES)
        raise UnsupportedLanguage(f"unknown language {name!r}: use one of {codes}, or {AUTO}")
    language = _BY_NAME[known]
    regional = _REGIONAL_ESPEAK.get(spelling(name))
    return language._replace(espeak_voice=regional) if regional else language


_KANA = frozenset({"HIRAGANA", "KATAKANA"})
# A character of these scripts says as much as three Latin letters: "用GPU运行" is Chinese.
_AUTO_GROUPS = {
    "en": (_LATIN, 1),
    "zh": (_KANA | {"CJK", "BOPOMOFO"}, 3),
    "ko": (frozenset({"HANGUL"}), 3),
    "ru": (frozenset({"CYRILLIC"}), 1),
}


def _by_script(text: str) -> Language:
    weights = dict.fromkeys(_AUTO_GROUPS, 0)
    kana = False
    for letter in filter(str.isalpha, text):
        script = script_of(letter)
        kana = kana or script in _KANA
        for group, (scripts, weight) in _AUTO_GROUPS.items():
            if script in scripts:
                weights[group] += weight
    most = max(weights, key=lambda group: weights[group])
    return _BY_CODE["ja" if most == "zh" and kana else most]


def script_of(letter: str) -> str:
    """Return the script of a letter, as the first word of its Unicode name (LATIN, CJK, HIRAGANA …)."""
    if letter < "\u0250":
        return "LATIN"
    word = unicodedata.name(letter, "").partition(" ")[0]
    if word in {"FULLWIDTH", "MODIFIER", "MATHEMATICAL", "ROMAN", "SUPERSCRIPT", "SUBSCRIPT", "FEMININE", "MASCULINE"}:
        return "LATIN"
    return {"HALFWIDTH": "KATAKANA", "KATAKANA-HIRAGANA": "KATAKANA", "IDEOGRAPHIC": "CJK"}.get(word, word)


def check_speakable(text: str, language: Language) -> list[str]:
    """Raise UnspeakableText when nothing can be spoken in that language; return warnings about what will be lost.

    Engines make silence or nonsense of a script they do not know, without any error.
    """
    letters = [character for character in text if character.isalpha()]
    digits = any(character.isnumeric() for character in text)
    if not letters and not digits:
        raise UnspeakableText("the text has no letter and no digit, so there is nothing to speak")
    foreign: dict[str, int] = {}
    for letter in letters:
        script = script_of(letter)
        if script not in language.scripts:
            foreign[script] = foreign.get(script, 0) + 1
    if not foreign:
        return []
    names = ", ".join(sorted(_SCRIPT_NAMES.get(script, script.title()) for script in foreign))
    if sum(foreign.values()) == len(letters) and not digits:
        raise UnspeakableText(
            f"the text is written in {names}, which is not how {language.name} is written: "
            f"set the language to one of {', '.join(NAMES)}, or {AUTO}"
        )
    return [f"{sum(foreign.values())} letters ({names}) are not of {language.name} and may not be spoken"]
