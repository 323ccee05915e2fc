"""Beatsheets to jobs: names, precedence, and what a bad one gets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lib.errors import InputError
from lib.manifest.beatsheet import jobs_from_beatsheet

SHEET: dict[str, object] = {
    "topicId": "space-01",
    "title": "Space",
    "totalBeats": 3,
    "ttsDefaults": {"tone": "calm", "speaker": "Ryan"},
    "beats": [
        {"id": 1, "narration": "One."},
        {"id": 12, "narration": "Two.", "tts": {"voice": "newsroom", "tone": None, "variants": 2}},
    ],
}


def write(folder: Path, sheet: object) -> Path:
    path = folder / "beats.json"
    path.write_text(sheet if isinstance(sheet, str) else json.dumps(sheet, indent=1))
    return path


def problems(folder: Path, sheet: object, **options: object) -> list[str]:
    with pytest.raises(InputError) as caught:
        jobs_from_beatsheet(write(folder, sheet), options)
    return [problem.replace(f"{folder}/", "") for problem in caught.value.problems]


def test_one_job_a_beat_with_derived_names_and_callback_data(tmp_path: Path) -> None:
    one, two = jobs_from_beatsheet(write(tmp_path, SHEET), {"voice": "storyteller"})
    assert (one["request_id"], one["output_name"]) == ("space-01:beat-001", "space-01/beat-001")
    assert (two["request_id"], two["output_name"]) == ("space-01:beat-012", "space-01/beat-012")
    assert one["callback_data"] == {"topic_id": "space-01", "total_beats": 3, "topic_title": "Space", "beat_id": 1}
    assert one["text"] == "One."


def test_total_beats_defaults_to_the_number_of_beats_and_the_title_may_be_missing(tmp_path: Path) -> None:
    sheet = {"topicId": "t", "beats": [{"id": 1, "narration": "x"}]}
    (job,) = jobs_from_beatsheet(write(tmp_path, sheet), {"voice": "v"})
    assert job["callback_data"] == {"topic_id": "t", "total_beats": 1, "beat_id": 1}


def test_the_most_specific_source_decides_between_voice_and_speaker(tmp_path: Path) -> None:
    one, two = jobs_from_beatsheet(write(tmp_path, SHEET), {"voice": "storyteller", "speaker": None})
    assert (one["voice"], one["speaker"], one["tone"]) == (None, "Ryan", "calm")
    assert (two["voice"], two["speaker"], two["tone"], two["variants"]) == ("newsroom", None, None, 2)


def test_options_fill_what_the_sheet_leaves_open(tmp_path: Path) -> None:
    sheet = {**SHEET, "ttsDefaults": {}}
    one, two = jobs_from_beatsheet(write(tmp_path, sheet), {"voice": "storyteller", "language": "German"})
    assert (one["voice"], one["language"]) == ("storyteller", "German")
    assert (two["voice"], two["language"]) == ("newsroom", "German")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"topicId": "../../escaped"}, "beats.json:2: topicId: '../../escaped' is no safe name"),
        ({"topicId": None}, "beats.json:2: topicId: is missing"),
        ({"topicId": 5}, "beats.json:2: topicId: must be text, not the number 5"),
        ({"topicId": "logs"}, "output_name: begins with 'logs'"),
        ({"totalBeats": "ten"}, "beats.json:4: totalBeats: must be a whole number, not the text 'ten'"),
        ({"totalBeats": 1}, "beats.json:4: totalBeats: is 1, but there are 2 beats"),
        ({"title": 5}, "beats.json:3: title: must be text"),
        ({"ttsDefaults": []}, "beats.json:5: ttsDefaults: must be a mapping, not a list"),
        ({"ttsDefaults": {"select_best": "false"}}, "beats.json:6: ttsDefaults.select_best: must be true or false"),
        ({"ttsDefaults": {"topP": 1}}, "beats.json:6: ttsDefaults.topP: unknown field; did you mean top_p?"),
        ({"ttsDefaults": {"text": "x"}}, "ttsDefaults.text: unknown field"),
        ({"ttsDefaults": {"voice": "v", "speaker": "Ryan"}}, "ttsDefaults.voice: both voice and speaker are given"),
        ({"ttsDefault": {}}, "ttsDefault: unknown field; did you mean ttsDefaults?"),
        ({"beats": {}}, "beats: must be a list, not a mapping"),
        ({"beats": []}, "beats: holds no beat"),
        ({"beats": [5]}, "beats[0]: must be a mapping, not the number 5"),
        ({"beats": [{"id": "1", "narration": "x"}]}, "beats[0].id: must be a whole number, not the text '1'"),
        ({"beats": [{"id": True, "narration": "x"}]}, "beats[0].id: must be a whole number, not the boolean true"),
        ({"beats": [{"narration": "x"}]}, "beats[0].id: must be a whole number, not nothing"),
        ({"beats": [{"id": 1}]}, "beats[0].narration: is missing"),
        ({"beats": [{"id": 1, "narration": "a\ud800"}]}, "beats[0].narration: holds half a surrogate pair U+D800"),
        ({"beats": [{"id": 1, "narration": "x", "tts": {"variants": 2.7}}]}, "beats[0].tts.variants: must be a whole"),
        ({"beats": [{"id": 1, "narration": "x", "tss": {}}]}, "beats[0].tss: unknown field; did you mean tts?"),
    ],
)
def test_each_fault_of_a_beatsheet_is_named(tmp_path: Path, change: dict[str, object], message: str) -> None:
    found = problems(tmp_path, {**SHEET, **change})
    assert any(message in problem for problem in found), found


def test_two_beats_with_one_id_are_refused(tmp_path: Path) -> None:
    beats = [{"id": 1, "narration": "x"}, {"id": 1, "narration": "y"}]
    (problem,) = problems(tmp_path, {"topicId": "t", "beats": beats}, voice="v")
    assert problem == "beats.json:9: beats[1].id: 1 is the id of beats[0] too; give each beat its own"


def test_a_beat_without_any_voice_is_refused(tmp_path: Path) -> None:
    sheet = {"topicId": "t", "beats": [{"id": 1, "narration": "x"}]}
    assert "neither voice nor speaker" in problems(tmp_path, sheet)[0]


def test_a_bad_option_is_named_as_the_option(tmp_path: Path) -> None:
    assert problems(tmp_path, SHEET, top_p=2.0)[0].startswith("--top-p: is 2; write")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"topicId": }', "beats.json:1:13: not valid JSON: Expecting value; correct it here"),
        ('{"topicId": "a", "topicId": "b"}', "the key 'topicId' stands twice in one object; remove one"),
        ('{"totalBeats": NaN}', "NaN is not JSON; write a finite number or null"),
        ("[" * 100_000, "nested too deeply"),
        ("[1]", "a beatsheet must be a mapping, not a list"),
        ("", "not valid JSON"),
    ],
)
def test_what_is_no_json_object_is_refused(tmp_path: Path, text: str, message: str) -> None:
    assert message in problems(tmp_path, text)[0]
