"""Paths as documents write them work outside the image too."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli import options
from cli.main import main
from cli.settings import redis_url
from lib.errors import InputError


def test_a_path_of_the_image_means_this_repository_where_there_is_no_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "IMAGE_ROOT", "/no-such-image-root/")
    assert options.job_file("/no-such-image-root/jobs.example.yaml") == str(options.ROOT / "jobs.example.yaml")


def test_a_path_that_exists_and_one_that_exists_nowhere_stay_as_given(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(options, "IMAGE_ROOT", f"{tmp_path}/")
    real = tmp_path / "jobs.example.yaml"
    real.write_text("jobs: []")
    assert options.job_file(str(real)) == str(real)
    assert options.job_file(f"{tmp_path}/missing.yaml") == f"{tmp_path}/missing.yaml"
    assert options.job_file("jobs.yaml") == "jobs.yaml"


@pytest.mark.parametrize(
    "words", [["compile", "x", "--out", ""], ["run", "x", "--out="], ["plan", "x", "--cache", " "]]
)
def test_an_empty_folder_is_refused_instead_of_meaning_another_one(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    assert "is empty; name a folder, or leave the option out" in capsys.readouterr().err


def test_an_empty_redis_url_is_refused_instead_of_meaning_another_redis() -> None:
    with pytest.raises(InputError, match="--redis-url: is empty"):
        redis_url("")
