from __future__ import annotations

import pytest

from lib.languages import CODES
from synth.errors import UnspeakableText, UnsupportedLanguage
from synth.languages import LANGUAGES, NAMES, check_speakable, resolve_language


@pytest.mark.parametrize("language", LANGUAGES, ids=NAMES)
def test_a_language_is_known_by_name_and_codes_in_any_case(language):
    spellings = (language.name, language.name.upper(), *CODES[language.name], f" {language.code.upper()} ")
    for key in spellings:
        assert resolve_language(key, "x").name == language.name


def test_the_ten_languages_are_those_of_the_gpu_engine():
    assert set(NAMES) == {
        "Chinese",
        "English",
        "Japanese",
        "Korean",
        "German",
        "French",
        "Russian",
        "Portuguese",
        "Spanish",
        "Italian",
    }


def test_an_unknown_language_is_refused_with_the_whole_list():
    with pytest.raises(UnsupportedLanguage) as caught:
        resolve_language("Klingon", "x")
    assert all(f"{one.name} ({one.code})" in str(caught.value) for one in LANGUAGES)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Good evening.", "English"),
        ("今晚的新闻。", "Chinese"),
        ("今夜のニュースです。", "Japanese"),
        ("오늘 밤 뉴스입니다.", "Korean"),
        ("Новости этого вечера.", "Russian"),
        ("用GPU运行", "Chinese"),
        ("Привет, GPU.", "Russian"),
        ("She said こ in the class.", "English"),
        ("42", "English"),
    ],
)
def test_auto_goes_by_the_script_of_the_text(text, name):
    assert resolve_language("auto", text).name == name


def test_regions_keep_their_own_espeak_voice():
    assert resolve_language("pt-BR", "x").espeak_voice == "pt-br"
    assert resolve_language("en_GB", "x").espeak_voice == "en"
    assert resolve_language("fr-FR", "x").espeak_voice == "fr"


@pytest.mark.parametrize("text", ["---", "...", "!?", "😀 😀", "« »", "* * *"])
def test_a_text_without_letter_or_digit_cannot_be_spoken(text):
    with pytest.raises(UnspeakableText, match="no letter and no digit"):
        check_speakable(text, resolve_language("en", text))


@pytest.mark.parametrize(
    ("code", "text", "script"),
    [
        ("en", "你好", "Chinese characters"),
        ("en", "Привет мир", "Cyrillic"),
        ("fr", "안녕하세요", "Hangul"),
        ("ru", "こんにちは", "Hiragana"),
        ("en", "مرحبا", "Arabic"),
    ],
)
def test_a_text_in_a_foreign_script_is_refused_and_the_script_named(code, text, script):
    with pytest.raises(UnspeakableText, match=script):
        check_speakable(text, resolve_language(code, text))


def test_a_few_foreign_letters_are_a_warning():
    assert check_speakable("He said 你好 to me.", resolve_language("en", "")) == [
        "2 letters (Chinese characters) are not of English and may not be spoken"
    ]


@pytest.mark.parametrize(
    ("code", "text"),
    [("en", "42"), ("fr", "Ça, c'est l'œuvre de Zoë."), ("de", "Straße"), ("zh", "GPU 好"), ("ja", "カタカナー")],
)
def test_a_text_of_the_language_is_accepted_without_a_word(code, text):
    assert check_speakable(text, resolve_language(code, text)) == []
