"""A job whose cancel mark stands in logs/ is ended while it runs, or never begun; the others go on."""

from __future__ import annotations

import sys
from pathlib import Path

from lib.jobqueue.spec import normalize_job_spec
from lib.manifest.compile import MANIFEST, compile_jobs
from lib.manifest.events import read_events
from lib.manifest.execution import cancel_mark, execute

SYNTH = [sys.executable, "-S", "-P", str(Path(__file__).parents[2] / "support/fake_synth.py")]


def compiled(folder: Path, *texts: str) -> Path:
    raw = [{"output_name": f"beat-{n}", "voice": "v", "text": text} for n, text in enumerate(texts, start=1)]
    compile_jobs([normalize_job_spec(one, strict=True) for one in raw], folder)
    (folder / "logs").mkdir()
    return folder / MANIFEST


def test_a_marked_job_is_not_begun(tmp_path: Path) -> None:
    manifest = compiled(tmp_path / "m", "ok", "ok")
    cancel_mark(tmp_path / "m", 1).touch()
    report = execute(manifest, synth=SYNTH)
    jobs = report["jobs"]
    assert isinstance(jobs, list)
    assert [job["status"] for job in jobs] == ["cancelled", "done"]
    assert not [one for one in read_events(tmp_path / "m") if one.get("output_name") == "beat-1"]
    assert (tmp_path / "m/calls.txt").read_text().startswith("beat-2 ")


def test_a_job_marked_while_it_runs_is_ended_and_the_next_one_runs(tmp_path: Path) -> None:
    manifest = compiled(tmp_path / "m", "hang", "ok")

    def mark(event: dict[str, object]) -> None:
        if event["event"] == "job_started" and event["output_name"] == "beat-1":
            cancel_mark(tmp_path / "m", 1).touch()

    report = execute(manifest, synth=SYNTH, on_event=mark)
    jobs = report["jobs"]
    assert isinstance(jobs, list)
    assert [(job["status"], (job["error"] or {}).get("type")) for job in jobs] == [
        ("killed", "cancelled"),
        ("done", None),
    ]
    assert "stopped" not in report


def test_a_mark_does_not_undo_a_job_that_is_done(tmp_path: Path) -> None:
    manifest = compiled(tmp_path / "m", "ok")
    execute(manifest, synth=SYNTH)
    cancel_mark(tmp_path / "m", 1).touch()
    assert execute(manifest, synth=SYNTH)["done"] == 1
