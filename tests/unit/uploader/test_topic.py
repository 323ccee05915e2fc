"""The summaries on the disk: written at once, never torn away, shared by processes."""

from __future__ import annotations

import errno
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import uploader.topic
from lib.errors import StorageUnavailable
from tests.unit.uploader.test_beats import done
from uploader.topic import Topics


class Records:
    """What the queue would say."""

    def __init__(self, *records: dict[str, Any]) -> None:
        self.records = {record["request_id"]: record for record in records}

    def __call__(self, request_ids: Sequence[str]) -> list[dict[str, Any] | None]:
        return [self.records.get(one) for one in request_ids]


def summary(root: Path, topic: str = "show") -> dict[str, Any]:
    return dict(json.loads((root / topic / "job.json").read_text()))


def ids(root: Path, topic: str = "show") -> set[str]:
    return {beat["request_id"] for beat in summary(root, topic)["beats"]}


def test_records_go_to_their_topics_and_come_once(tmp_path: Path) -> None:
    topics = Topics(tmp_path, Records())
    topics.put([done("show:a"), done("show:b"), done("other:a")])
    topics.put([done("show:a")])
    assert (ids(tmp_path), ids(tmp_path, "other")) == ({"show:a", "show:b"}, {"other:a"})
    assert summary(tmp_path)["done"] == 2


def test_the_same_record_again_writes_nothing(tmp_path: Path) -> None:
    topics = Topics(tmp_path, Records())
    topics.put([done("show:a")])
    before = (tmp_path / "show/job.json").stat()
    topics.put([done("show:a")])
    assert (tmp_path / "show/job.json").stat() == before


def test_a_name_that_would_lead_out_of_the_folder_is_left_out(tmp_path: Path) -> None:
    Topics(tmp_path / "root", Records()).put(
        [
            done("x", output_name="../outside/a"),
            done("y", output_name=".uploader/a"),
            done("z", output_name="a/job.json"),
        ]
    )
    assert not (tmp_path / "outside").exists()
    assert not (tmp_path / "root").exists()


def test_two_processes_on_one_folder_lose_nothing_of_each_other(tmp_path: Path) -> None:
    one, two = Topics(tmp_path, Records()), Topics(tmp_path, Records())
    for number in range(10):
        (one if number % 2 else two).put([done(f"show:{number}")])
    assert len(ids(tmp_path)) == 10


def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Topics:
    """Topics whose every job.json takes long to write, on a clock that stands still afterwards."""
    clock = iter(range(1000))
    monkeypatch.setattr(uploader.topic, "_QUICK_SECONDS", 0.0)
    return Topics(tmp_path, Records(), clock=lambda: next(clock) * 0.001)


def test_a_large_topic_is_journalled_first_and_folded_in_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    topics = large(tmp_path, monkeypatch)
    topics.put([done("show:a")])
    topics.put([done("show:b")])
    assert ids(tmp_path) == {"show:a"}
    assert "show:b" in (tmp_path / "show/.job.jsonl").read_text()
    topics.flush(all_of_them=True)
    assert ids(tmp_path) == {"show:a", "show:b"}
    assert not (tmp_path / "show/.job.jsonl").exists()


def test_a_journal_of_a_killed_process_is_folded_in_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    topics = large(tmp_path, monkeypatch)
    topics.put([done("show:a")])
    topics.put([done("show:b")])
    with (tmp_path / "show/.job.jsonl").open("a") as journal:
        journal.write('{"request_id": "show:torn", "outp')
    Topics(tmp_path, Records()).put([done("show:c")])
    assert ids(tmp_path) == {"show:a", "show:b", "show:c"}


def test_a_full_disk_is_said_and_nothing_is_taken_for_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    topics = Topics(tmp_path, Records())
    topics.put([done("show:a")])

    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(uploader.topic, "write_aside", full)
        with pytest.raises(StorageUnavailable, match="full"):
            topics.put([done("show:b")])
    assert ids(tmp_path) == {"show:a"}
    topics.put([done("show:b")])
    assert ids(tmp_path) == {"show:a", "show:b"}


def test_a_torn_summary_is_kept_aside_and_rebuilt_from_its_lines_and_the_records(tmp_path: Path) -> None:
    Topics(tmp_path, Records()).put([done(f"show:{one}") for one in "abc"])
    file = tmp_path / "show/job.json"
    text = file.read_text()
    torn = text[: text.index('"show:c"') + 12]
    file.write_text(torn)
    Topics(tmp_path, Records(done("show:c"))).put([done("show:d")])
    assert ids(tmp_path) == {"show:a", "show:b", "show:c", "show:d"}
    (aside,) = (tmp_path / "show").glob("job.json.broken-*")
    assert aside.read_text() == torn


def test_an_empty_or_foreign_summary_is_kept_aside_too(tmp_path: Path) -> None:
    for topic, content in (("one", ""), ("two", '{"mine": true}'), ("three", "\x00\xff")):
        (tmp_path / topic).mkdir()
        (tmp_path / topic / "job.json").write_text(content)
        Topics(tmp_path, Records()).put([done(f"{topic}:a")])
        assert ids(tmp_path, topic) == {f"{topic}:a"}
        (aside,) = (tmp_path / topic).glob("job.json.broken-*")
        assert aside.read_text() == content


def test_a_job_that_was_not_settled_after_all_leaves_its_topic(tmp_path: Path) -> None:
    topics = Topics(tmp_path, Records())
    topics.put([done("show:a"), done("show:b")])
    cancelled = {"request_id": "show:b", "status": "cancelled", "job": {"output_name": "show/b"}}
    topics.correct({"show:a": ("show/a", {"status": "queued"}), "show:b": ("show/b", cancelled)})
    assert {beat["request_id"]: beat["status"] for beat in summary(tmp_path)["beats"]} == {"show:b": "cancelled"}


def test_a_topic_whose_folder_was_removed_starts_afresh(tmp_path: Path) -> None:
    topics = Topics(tmp_path, Records())
    topics.put([done("show:a")])
    (tmp_path / "show/job.json").unlink()
    topics.put([done("show:b")])
    assert ids(tmp_path) == {"show:b"}


def test_many_topics_stay_within_memory(tmp_path: Path) -> None:
    topics = Topics(tmp_path, Records())
    topics.put([done(f"show{number}:a") for number in range(100)])
    assert len(topics._topics) <= 32
    assert all((tmp_path / f"show{number}/job.json").exists() for number in range(100))


def test_ten_thousand_beats_in_one_topic_take_seconds_not_minutes(tmp_path: Path) -> None:
    topics = Topics(tmp_path, Records())
    started = time.monotonic()
    for at in range(0, 10_000, 32):
        topics.put([done(f"show:{number:05d}") for number in range(at, min(at + 32, 10_000))])
    topics.flush(all_of_them=True)
    assert time.monotonic() - started < 10
    assert summary(tmp_path)["done"] == 10_000
