"""list-voices, list-speakers, capabilities, --version and --help of the real process."""

from __future__ import annotations

import json

import pytest

from lib.voices import SPEAKERS
from tests.support.speech import voice_synth


def test_the_version_and_the_help_go_to_stdout():
    assert voice_synth("--version").out.startswith("voice-synth ")
    helped = voice_synth("--help")
    assert helped.code == 0
    assert "exit codes: 0 done, 2 bad input" in " ".join(helped.out.split())
    assert "--text-file PATH" in voice_synth("speak", "--help").out


@pytest.mark.parametrize("words", [[], ["speek"], ["list-voices", "--jsn"], ["list-voices", "extra"]])
def test_a_wrong_command_line_is_exit_2_with_one_message(words):
    ended = voice_synth(*words)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("voice-synth: ")
    assert len(ended.err.splitlines()) == 1


def test_voices_are_listed_with_what_is_wrong_with_them(tmp_path):
    for slug, content in (("anna", '{"voice_version": 1, "name": "Anna", "qwen": {}}'), ("broken", "{")):
        (tmp_path / "voices" / slug).mkdir(parents=True)
        (tmp_path / "voices" / slug / "voice.json").write_text(content, encoding="utf-8")
    listing = json.loads(voice_synth("list-voices", "--json", "--cache", tmp_path).out)
    assert listing["listing_version"] == 1
    anna, broken = listing["voices"]
    assert (anna["slug"], anna["name"], anna["engines"], anna["error"]) == ("anna", "Anna", ["qwen"], None)
    assert "is not JSON" in broken["error"]
    table = voice_synth("list-voices", VOICE_SYNTH_CACHE=str(tmp_path)).out
    assert "anna" in table
    assert "broken: " in table
    assert "no voices in" in voice_synth("list-voices", "--cache", tmp_path / "none").out


def test_the_example_voices_are_found_without_any_setting():
    listing = json.loads(voice_synth("list-voices", "--json").out)
    assert {"newsroom", "storyteller"} <= {voice["slug"] for voice in listing["voices"]}


def test_the_nine_speakers_are_listed():
    listing = json.loads(voice_synth("list-speakers", "--json").out)
    assert tuple(speaker["name"] for speaker in listing["speakers"]) == SPEAKERS
    assert all(name in voice_synth("list-speakers").out for name in SPEAKERS)


def test_capabilities_tell_which_engine_speaks_what():
    listing = json.loads(voice_synth("capabilities", "--json", "--strict").out)
    engines = {engine["name"]: engine for engine in listing["engines"]}
    assert engines["hibari"]["version"] == "0.2.1"
    assert engines["espeak"]["installed"]
    assert not engines["qwen"]["installed"]
    speaks = {language["name"]: language["engine"] for language in listing["languages"]}
    assert speaks.pop("English") == "hibari"
    assert set(speaks.values()) == {"espeak"}
    assert listing["features"]["asr"] == "none"
    assert "hibari" in voice_synth("capabilities").out


def test_capabilities_are_strict_on_request(tmp_path):
    without = {"VOICE_SYNTH_ESPEAK": "binary", "PATH": str(tmp_path)}
    assert voice_synth("capabilities", **without).code == 0
    assert voice_synth("capabilities", "--strict", **without).code == 4
