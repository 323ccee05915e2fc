from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from lib.jobqueue.spec import DEFAULTS, normalize_job_spec
from lib.manifest.argv import build_argv
from lib.voices import REPOSITORY_CACHE
from synth import arguments
from synth.request import speak_request
from synth.speak import plan

FILE = Path(__file__).resolve().parents[3] / "jobs.example.yaml"
DOCUMENT = yaml.safe_load(FILE.read_text(encoding="utf-8"))
ROWS = DOCUMENT["jobs"]


@pytest.mark.parametrize("row", ROWS, ids=[row["output_name"] for row in ROWS])
def test_every_example_job_is_valid_and_could_be_spoken_here(row, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    job = normalize_job_spec({**DOCUMENT["defaults"], **row}, strict=True)
    folder = tmp_path / job["output_name"]
    folder.mkdir(parents=True)
    (folder / "text.txt").write_text(job["text"], encoding="utf-8")
    request = speak_request(arguments.parse(build_argv(job)[1:]))
    planned = plan(request._replace(cache=str(REPOSITORY_CACHE)))
    assert planned.engine.installed()
    assert planned.pieces


def test_the_examples_begin_with_the_smallest_job_and_end_with_every_field():
    assert set(ROWS[0]) == {"output_name", "voice", "text"}
    assert set(ROWS[-1]) == set(DEFAULTS) - {"queued_at", "content_hash", "attempt"}
