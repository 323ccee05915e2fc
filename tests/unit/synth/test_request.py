from __future__ import annotations

import pytest

from lib.errors import InputError
from synth import arguments
from synth.errors import UnknownSpeaker
from synth.request import speak_request
from synth.text import MAX_TEXT_BYTES, check_text


def request(*options: str):
    base = ["speak", "--text=Good evening.", "--out-exact", "out"]
    return speak_request(arguments.parse([*base, *options]))


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch):
    for name in ("VOICE_SYNTH_ENGINE", "VOICE_SYNTH_CACHE", "JOB_RUNNER_CACHE"):
        monkeypatch.delenv(name, raising=False)


def test_the_defaults_are_those_of_the_contract():
    made = request("--voice=newsroom")
    assert (made.profile, made.variants, made.select_best, made.chunk) == ("balanced", 1, False, False)
    assert (made.engine, made.seed, made.options, made.language) == ("auto", 0, {}, None)


def test_every_option_of_a_manifest_is_taken_also_with_values_that_begin_with_a_dash():
    made = request(
        "--speaker=uncle_fu",
        "--language=French",
        "--profile=expressive",
        "--variants=3",
        "--select-best",
        "--chunk",
        "--tone=-warm",
        "--instruct=- slowly",
        "--instruct-style=--calm",
        "--temperature=0",
        "--top-p=1",
        "--repetition-penalty=1.1",
        "--max-new-tokens=2048",
    )
    assert made.speaker == "Uncle_Fu"
    assert (made.variants, made.select_best, made.chunk) == (3, True, True)
    assert made.options == {
        "tone": "-warm",
        "instruct": "- slowly",
        "instruct_style": "--calm",
        "temperature": 0.0,
        "top_p": 1.0,
        "repetition_penalty": 1.1,
        "max_new_tokens": 2048,
    }


@pytest.mark.parametrize(
    ("option", "fault"),
    [
        ("--variants=0", "--variants must be a whole number from 1"),
        ("--variants=2.7", "--variants must be a whole number"),
        ("--seed=-1", "--seed must be a whole number from 0"),
        ("--temperature=-0.1", "--temperature must be a number at least 0"),
        ("--temperature=nan", "--temperature must be a number"),
        ("--temperature=inf", "--temperature must be a number"),
        ("--top-p=0", "--top-p must be a number above 0 and at most 1"),
        ("--top-p=1.01", "--top-p must be"),
        ("--repetition-penalty=0", "--repetition-penalty must be a number above 0"),
        ("--max-new-tokens=0", "--max-new-tokens must be a whole number from 1"),
        ("--profile=loud", "--profile must be one of stable, balanced, expressive"),
        ("--engine=flite", "--engine must be one of"),
        ("--language=Klingon", "unknown language 'Klingon'"),
        ("--speaker=Ryan", "exactly one of --voice and --speaker"),
        ("--text-file=x", "exactly one of --text and --text-file"),
        ("--text=  \t\n", "--text is empty"),
    ],
)
def test_each_wrong_option_is_named_with_what_is_allowed(option, fault):
    with pytest.raises(InputError) as caught:
        request("--voice=newsroom", option)
    assert fault in str(caught.value)


def test_all_faults_are_told_at_once():
    with pytest.raises(InputError) as caught:
        request("--variants=x", "--seed=x", "--top-p=x")
    assert len(caught.value.problems) == 4


def test_an_unknown_speaker_is_named_with_the_nearest_and_the_list():
    with pytest.raises(UnknownSpeaker, match=r"did you mean Ryan\? There are: Vivian, .*Sohee"):
        request("--speaker=Rian")


def test_an_unknown_option_is_named_with_the_nearest_and_not_guessed():
    with pytest.raises(InputError, match=r"unknown option --variant: did you mean --variants\?"):
        request("--voice=newsroom", "--variant=3")


def test_the_engine_of_the_environment_is_checked_too(monkeypatch):
    monkeypatch.setenv("VOICE_SYNTH_ENGINE", "espeak")
    assert request("--voice=newsroom").engine == "espeak"
    assert request("--voice=newsroom", "--engine=hibari").engine == "hibari"
    monkeypatch.setenv("VOICE_SYNTH_ENGINE", "nothing")
    with pytest.raises(InputError, match="VOICE_SYNTH_ENGINE must be one of"):
        request("--voice=newsroom")


def test_text_keeps_its_bytes_and_loses_only_control_characters_for_speech():
    raw = "\ufeffOne\x00 two\x1b[31m\r\nthree\x9f".encode()
    text = check_text(raw, "x")
    assert text.raw == raw
    assert text.spoken == "One two[31m\nthree"


@pytest.mark.parametrize(
    ("raw", "fault"),
    [
        (b"", "is empty"),
        (b" \n\t", "is empty"),
        (b"\x00\x01", "is empty"),
        ("Grüße".encode("latin-1"), r"is not UTF-8: byte 2 is 0xfc"),
        ("Hi".encode("utf-16"), "is not UTF-8: byte 0"),
        (b"\xed\xa0\x80", "is not UTF-8"),
        (b"a" * (MAX_TEXT_BYTES + 1), "larger than 1048576 bytes"),
    ],
)
def test_a_text_that_cannot_be_read_is_refused_with_its_place(raw, fault):
    with pytest.raises(InputError, match=fault):
        check_text(raw, "the text file t.txt")


@pytest.mark.parametrize(
    ("words", "path"),
    [
        (["speak", "--json-result", "r.json"], "r.json"),
        (["speak", "--json-result=r.json", "--nonsense"], "r.json"),
        (["speak", "--json-result"], None),
        (["speak"], None),
    ],
)
def test_the_result_path_is_found_also_where_the_command_line_is_wrong(words, path):
    assert arguments.result_path(words) == path
