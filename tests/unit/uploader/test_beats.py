"""Records become lines of a job.json, and torn files give back what is whole."""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import Any

import pytest

from uploader.beats import TopicFacts, beat_of, facts_of, named, output_name_of, parse, parse_lines, render, topic_of


def done(request_id: str = "show:a", **changes: Any) -> dict[str, Any]:
    name = request_id.replace(":", "/")
    outputs = {"best": f"/audio/{name}/best.wav", "takes": [f"/audio/{name}/take_01.wav"], "meta": None, "text": None}
    record = {"request_id": request_id, "status": "done", "output_name": name, "outputs": outputs, "audio_seconds": 2.5}
    return {**record, "completed_at": "2026-01-01T00:00:00.000Z", "callback_data": {"beat_id": 4}, **changes}


@pytest.mark.parametrize(
    ("name", "topic"), [("show/beat-001", "show"), ("a/b/c", "a/b"), ("alone", "alone"), ("a/b/c/d", "a/b/c")]
)
def test_the_topic_is_all_but_the_last_part(name: str, topic: str) -> None:
    assert topic_of(name) == topic


def test_a_done_beat_has_paths_relative_to_its_topic() -> None:
    beat = beat_of(done(), PurePosixPath("/audio/show"))
    assert beat is not None
    line = json.loads(beat.line)
    assert (line["best"], line["takes"]) == ("a/best.wav", ["a/take_01.wav"])
    assert (line["beat_id"], line["audio_seconds"], line["status"]) == (4, 2.5, "done")


def test_a_failed_beat_takes_its_name_from_the_job_and_says_why() -> None:
    record = {"request_id": "show:a", "status": "failed", "error_type": "unknown_voice", "stage": "speaking"}
    record |= {"error": "x" * 5000, "job": {"output_name": "show/a", "callback_data": {"beat_id": "one"}}}
    beat = beat_of(record, PurePosixPath("/audio/show"))
    assert beat is not None
    line = json.loads(beat.line)
    assert (line["error_type"], line["beat_id"], len(line["error"])) == ("unknown_voice", "one", 300)


@pytest.mark.parametrize("job", [None, "{raw", {"output_name": "../../escaped"}, {"output_name": 7}, []])
def test_a_record_without_a_safe_name_belongs_to_no_topic(job: object) -> None:
    record = {"request_id": "x", "status": "failed", "job": job, "callback_data": {"topic_id": "../../escaped"}}
    assert output_name_of(record) is None
    assert beat_of(record, PurePosixPath("/audio")) is None


@pytest.mark.parametrize("data", [None, [], "text", {"topic_title": 7, "total_beats": "ten"}, {"total_beats": True}])
def test_odd_callback_data_never_hurts(data: object) -> None:
    assert facts_of({"callback_data": data}) == TopicFacts()
    assert beat_of(done(callback_data=data), PurePosixPath("/audio/show")) is not None


def test_a_summary_reads_back_as_it_was_written_with_its_counts() -> None:
    records = [done("show:b"), done("show:a"), {**done("show:c"), "status": "failed"}]
    beats = [beat for beat in (beat_of(one, PurePosixPath("/audio/show")) for one in records) if beat]
    text = render("show", TopicFacts("A title", 3), beats).decode()
    whole = json.loads(text)
    assert (whole["done"], whole["failed"], whole["cancelled"]) == (2, 1, 0)
    assert [beat["request_id"] for beat in whole["beats"]] == ["show:a", "show:b", "show:c"]
    facts, again = parse(text)
    assert facts == TopicFacts("A title", 3)
    assert again == {beat.request_id: beat for beat in beats}


def test_every_whole_line_of_a_torn_summary_is_saved_at_every_place_it_can_be_torn() -> None:
    beats = [beat_of(done(f"show:{number}"), PurePosixPath("/audio/show")) for number in range(3)]
    text = render("show", TopicFacts(), [beat for beat in beats if beat]).decode()
    for cut in range(len(text) - 3):
        torn = text[:cut]
        with pytest.raises(ValueError):
            parse(torn)
        whole = [beat for beat in beats if beat and beat.line in torn]
        assert set(parse_lines(torn)) == {beat.request_id for beat in whole}
        assert set(named(torn)) >= set(parse_lines(torn))


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"job_version": 2, "beats": []}', '{"job_version": 1, "beats": [7]}']
)
def test_what_is_no_summary_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse(text)
