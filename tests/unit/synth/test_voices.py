from __future__ import annotations

import json
from pathlib import Path

import pytest

from lib import voices
from lib.errors import InputError
from synth.errors import BadVoice, UnknownVoice
from synth.voice_file import check_voice, load_voice

GOOD = {"voice_version": 1, "name": "Anna", "embedded": {}}


def make(cache: Path, slug: str, document: object = GOOD) -> None:
    folder = cache / "voices" / slug
    folder.mkdir(parents=True)
    (folder / "voice.json").write_text(json.dumps(document), encoding="utf-8")


def test_the_cache_is_the_named_folder_then_the_variable_then_the_container_then_the_repository(tmp_path, monkeypatch):
    monkeypatch.delenv("JOB_RUNNER_CACHE", raising=False)
    monkeypatch.setattr(voices, "CONTAINER_CACHE", tmp_path / "container")
    assert voices.cache_dir() == voices.REPOSITORY_CACHE
    (tmp_path / "container").mkdir()
    assert voices.cache_dir() == voices.REPOSITORY_CACHE
    (tmp_path / "container" / "voices").mkdir()
    assert voices.cache_dir() == tmp_path / "container"
    monkeypatch.setenv("JOB_RUNNER_CACHE", str(tmp_path / "variable"))
    assert voices.cache_dir() == tmp_path / "variable"
    assert voices.cache_dir(str(tmp_path / "named")) == tmp_path / "named"


def test_the_repository_ships_two_voices_that_are_whole():
    assert voices.voice_slugs(voices.REPOSITORY_CACHE) == ["newsroom", "storyteller"]
    for slug in ("newsroom", "storyteller"):
        assert load_voice(voices.REPOSITORY_CACHE, slug).embedded is not None


def test_only_folders_with_a_slug_and_a_voice_file_are_voices(tmp_path):
    make(tmp_path, "anna")
    make(tmp_path, "Not A Slug")
    (tmp_path / "voices" / "empty").mkdir()
    (tmp_path / "voices" / "file").write_text("x", encoding="utf-8")
    assert voices.voice_slugs(tmp_path) == ["anna"]
    assert voices.voice_slugs(tmp_path / "nowhere") == []


def test_a_voices_folder_that_is_a_file_is_an_error(tmp_path):
    (tmp_path / "voices").write_text("x", encoding="utf-8")
    with pytest.raises(InputError, match="cannot read the voices folder"):
        voices.voice_slugs(tmp_path)


@pytest.mark.parametrize(
    ("given", "name"),
    [("ryan", "Ryan"), ("UNCLE_FU", "Uncle_Fu"), ("uncle fu", "Uncle_Fu"), (" Ono-Anna ", "Ono_Anna"), ("Bob", None)],
)
def test_speaker_names_match_in_any_case(given, name):
    assert voices.speaker_name(given) == name


@pytest.mark.parametrize("slug", ["../anna", "/etc", "a/b", "Anna", "", ".", "-a", "a" * 65, "a\n", "ä"])
def test_a_slug_that_could_leave_the_folder_is_refused(tmp_path, slug):
    make(tmp_path, "anna")
    with pytest.raises(InputError, match="not a voice's name"):
        load_voice(tmp_path, slug)


def test_a_missing_voice_is_named_with_the_nearest(tmp_path):
    make(tmp_path, "newsroom")
    make(tmp_path, "storyteller")
    with pytest.raises(UnknownVoice, match="did you mean 'newsroom'"):
        load_voice(tmp_path, "news-room")
    with pytest.raises(UnknownVoice, match="there are: newsroom, storyteller"):
        load_voice(tmp_path, "qqqq")
    with pytest.raises(UnknownVoice, match="no voice at all"):
        load_voice(tmp_path / "empty", "anna")


def test_a_voice_has_defaults_and_may_be_made_for_the_gpu_only(tmp_path):
    make(tmp_path, "anna")
    voice = load_voice(tmp_path, "anna")
    assert voice.embedded == (1.0, 1.0, "")
    assert (voice.language, voice.engine, voice.has_qwen) == (None, "auto", False)
    make(tmp_path, "clone", {"voice_version": 1, "name": "C", "qwen": {"kind": "clone", "anything": [1]}})
    assert load_voice(tmp_path, "clone").embedded is None


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"voice_version": 2}, "voice_version must be 1, not 2"),
        ({"voice_version": True}, "voice_version must be 1, not True"),
        ({"name": " "}, "name must be a text"),
        ({"language": "Klingon"}, "language must be one of"),
        ({"language": 3}, "language must be one of"),
        ({"description": []}, "description must be a text"),
        ({"embeded": {}}, "unknown field embeded: did you mean embedded?"),
        ({"embedded": []}, "embedded must be an object"),
        ({"embedded": {"engine": "flite"}}, "embedded.engine must be one of"),
        ({"embedded": {"speed": 9}}, "embedded.speed must be a number from 0.5 to 2.0, not 9"),
        ({"embedded": {"speed": True}}, "embedded.speed must be a number"),
        ({"embedded": {"pitch": "low"}}, "embedded.pitch must be a number"),
        ({"embedded": {"pitch": float("nan")}}, "embedded.pitch must be a number"),
        ({"embedded": {"espeak_variant": "zz"}}, "embedded.espeak_variant must be one of"),
        ({"embedded": {"spede": 1}}, "did you mean embedded.speed?"),
        ({"qwen": "x"}, "qwen must be an object"),
        ({"embedded": None}, "needs an object 'embedded' or 'qwen'"),
    ],
)
def test_each_fault_of_a_voice_file_is_named_with_its_place(changes, fault):
    with pytest.raises(BadVoice) as caught:
        check_voice("anna", json.dumps(GOOD | changes).encode(), "/v/voice.json")
    assert fault in str(caught.value)
    assert str(caught.value).startswith("/v/voice.json: ")


def test_all_faults_are_told_at_once():
    with pytest.raises(BadVoice) as caught:
        check_voice("anna", json.dumps({"voice_version": 0, "x": 1, "embedded": {"speed": 0}}).encode(), "v")
    assert len(str(caught.value).splitlines()) == 4


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"[]", b"{}" + b" " * 300_000])
def test_what_is_no_voice_file_is_a_clear_error(content):
    with pytest.raises(BadVoice, match=r"is not JSON|must be a JSON object|larger than"):
        check_voice("anna", content, "v")
