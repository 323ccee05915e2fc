"""Good YAML to jobs: root shapes, defaults, merging, anchors, encodings, quick even when large."""

from __future__ import annotations

from pathlib import Path

import pytest

from lib.manifest.jobs import load_job_file, load_jobs

ONE = "output_name: a/b\nvoice: newsroom\ntext: Hello\n"


def write(folder: Path, text: str | bytes, name: str = "jobs.yaml") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_a_single_job_object(tmp_path: Path) -> None:
    (job,) = load_jobs(write(tmp_path, ONE))
    assert (job["request_id"], job["text"]) == ("a:b", "Hello")


def test_a_top_level_list(tmp_path: Path) -> None:
    text = "- {output_name: a, voice: newsroom, text: one}\n- {output_name: b, speaker: Ryan, text: two}\n"
    assert [job["output_name"] for job in load_jobs(write(tmp_path, text))] == ["a", "b"]


def test_jobs_with_defaults_and_a_null_that_overrides(tmp_path: Path) -> None:
    text = """
defaults: {voice: newsroom, tone: calm, variants: 3, callback_data: {project: p, deep: {a: 1, b: [1]}}}
jobs:
  - {output_name: a, text: one, callback_data: {deep: {b: [2], c: null}, row: 1}}
  - {output_name: b, text: two, voice: null, speaker: Ryan, tone: null, variants: null, callback_data: null}
"""
    one, two = load_jobs(write(tmp_path, text))
    assert (one["voice"], one["tone"], one["variants"]) == ("newsroom", "calm", 3)
    assert one["callback_data"] == {"project": "p", "deep": {"a": 1, "b": [2], "c": None}, "row": 1}
    assert (two["voice"], two["speaker"], two["tone"], two["variants"]) == (None, "Ryan", None, 1)
    assert two["callback_data"] is None


def test_anchors_aliases_and_merge_keys_work(tmp_path: Path) -> None:
    text = """
x-common: &common {voice: newsroom, profile: fast, callback_data: &data {a: 1}}
jobs:
  - {<<: *common, output_name: a, text: one, profile: slow}
  - {<<: [*common, {tone: calm}], output_name: b, text: two, callback_data: *data}
"""
    one, two = load_jobs(write(tmp_path, text))
    assert (one["profile"], two["profile"], two["tone"]) == ("slow", "fast", "calm")
    assert one["callback_data"] == two["callback_data"] == {"a": 1}
    assert one["callback_data"] is not two["callback_data"]


def test_an_unquoted_time_is_taken(tmp_path: Path) -> None:
    (job,) = load_jobs(write(tmp_path, ONE + "queued_at: 2026-01-31T12:00:00Z\n"))
    assert job["queued_at"] == "2026-01-31T12:00:00+00:00"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_utf_8_and_whatever_has_a_byte_order_mark_is_read(tmp_path: Path, encoding: str) -> None:
    (job,) = load_jobs(write(tmp_path, ONE.replace("Hello", "Grüße, 世界 🎧").encode(encoding)))
    assert job["text"] == "Grüße, 世界 🎧"


def test_a_name_with_spaces_and_a_file_of_crlf_lines_are_fine(tmp_path: Path) -> None:
    (job,) = load_jobs(write(tmp_path, ONE.replace("\n", "\r\n"), "my jobs.yaml"))
    assert job["text"] == "Hello"


def test_text_of_many_lines_is_kept_as_written(tmp_path: Path) -> None:
    (job,) = load_jobs(write(tmp_path, "output_name: a\nvoice: v\ntext: |+\n  one\n\n  two \n\n"))
    assert job["text"] == "one\n\ntwo \n\n"


def test_the_place_of_a_field_names_file_line_and_row(tmp_path: Path) -> None:
    path = write(tmp_path, "jobs:\n  - output_name: a\n    voice: v\n    text: x\n")
    file = load_job_file(path)
    assert file.place(0, "voice") == f"{path}:3: jobs[0].voice"
    assert file.place(0, "speaker") == f"{path}:2: jobs[0].speaker"


def test_twenty_thousand_jobs_are_read_in_order(tmp_path: Path) -> None:
    rows = [f"- {{output_name: o{row}, voice: v, text: t}}" for row in range(20_000)]
    jobs = load_jobs(write(tmp_path, "\n".join(rows)))
    assert [job["output_name"] for job in jobs] == [f"o{row}" for row in range(20_000)]
