"""What a box sends back is held against what was ordered before it reaches the spool."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from lib.errors import BadArtefact, SpoolFull
from lib.jobqueue.spec import JobSpec, content_hash, normalize_job_spec
from lib.spool import job_folder
from provisioner.artefacts import wav_seconds
from provisioner.collect import SpoolCollector
from tests.support import fake_voice_synth


class OneFolder:
    """A box whose only job lies in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fetch(self, _batch_id: str, output_name: str) -> Path:
        return self.folder / output_name


def ordered(text: str, **fields: Any) -> JobSpec:
    raw = {"output_name": "topic/beat-001", "voice": "newsroom", "text": text, **fields}
    spec = normalize_job_spec(raw, strict=True)
    spec["content_hash"] = content_hash(spec)
    return spec


class Made:
    """A spool, and a box where the fake voice-synth has spoken a job."""

    def __init__(self, folder: Path) -> None:
        self.control, self.work, self.spool = folder / "control", folder / "work", folder / "spool"
        for one in (self.control, self.work, self.spool):
            one.mkdir()
        self.out = self.work / "topic/beat-001"
        self.collector = SpoolCollector(self.spool, "name", 1)

    def speak(self, job: JobSpec) -> None:
        self.out.mkdir(parents=True)
        text = self.out / "text.txt"
        text.write_bytes(job["text"].encode())
        valued = {"variants": str(job["variants"])}
        valued |= {name: job[name] for name in ("voice", "speaker") if job[name] is not None}
        deed = job["text"].split()[0]
        result = self.out / "result.json"
        fake_voice_synth.speak(deed, valued, job["select_best"], text, self.out, result)

    def change(self, **fields: Any) -> None:
        path = self.out / "result.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | fields))

    def collect(self, job: JobSpec) -> Any:
        return self.collector.collect(OneFolder(self.work), "batch-1", "t" * 32, job)  # type: ignore[arg-type]

    def spooled(self) -> list[str]:
        return sorted(one.relative_to(self.spool).as_posix() for one in self.spool.rglob("*") if one.is_file())


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    here = Made(tmp_path)
    monkeypatch.setenv("FAKE_SYNTH_DIR", str(here.control))
    return here


def test_what_was_ordered_is_spooled_whole(made: Made) -> None:
    job = ordered("ok", variants=2, select_best=True)
    made.speak(job)
    collected = made.collect(job)
    folder = job_folder("batch-1", job["request_id"], "t" * 32)
    assert collected.folder == folder
    names = ["best.wav", "take_01.wav", "take_02.wav", "takes.meta.json", "text.txt"]
    assert made.spooled() == [f"{folder}/{name}" for name in names]
    assert collected.audio_seconds == 0.25
    assert [one["path"] for one in collected.files] == [*names[1:3], names[0], *names[3:]]


def test_the_box_keeps_its_files_and_collecting_again_changes_nothing(made: Made) -> None:
    job = ordered("ok")
    made.speak(job)
    assert made.collect(job) == made.collect(job)
    assert (made.out / "take_01.wav").exists()


@pytest.mark.parametrize(
    ("deed", "said"),
    [
        ("bad_sha", "another SHA-256"),
        ("bad_seconds", "0.250 s of audio, not the 9.5"),
        ("bad_size", "bytes, not the"),
        ("huge_listed", "is not from 1 to"),
        ("bad_text", "not the text that was sent"),
        ("bad_voice", "spoken by"),
        ("few_takes", "exactly the 2 takes"),
        ("no_best", "best.wav is missing"),
        ("not_audio", "it is no WAV file"),
        ("float_audio", "it is no 16-bit PCM"),
        ("cut_audio", "its head promises"),
        ("link", "take_01.wav cannot be opened"),
        ("folder_link", "lies under, a link"),
        ("pipe", "take_01.wav is no plain file"),
        ("outside", "result.json calls take_01.wav"),
        ("nan", "NaN is not JSON"),
        ("no_json", "result.json is not JSON"),
    ],
)
def test_whatever_is_not_as_ordered_is_refused_and_leaves_nothing_in_the_spool(
    made: Made, deed: str, said: str
) -> None:
    job = ordered(deed, variants=2, select_best=True)
    made.speak(job)
    with pytest.raises(BadArtefact, match=said):
        made.collect(job)
    assert made.spooled() == []


@pytest.mark.parametrize(
    "fields",
    [
        {"schema_version": 2},
        {"app": "something"},
        {"status": "failed"},
        {"files": None},
        {"files": {"takes": "many"}},
        {"audio_seconds": 3},
        {"audio_seconds": True},
        {"speaker": "Ryan"},
    ],
)
def test_a_result_that_says_something_else_is_refused(made: Made, fields: dict[str, Any]) -> None:
    job = ordered("ok")
    made.speak(job)
    made.change(**fields)
    with pytest.raises(BadArtefact):
        made.collect(job)


def test_a_missing_result_or_folder_is_refused(made: Made) -> None:
    job = ordered("ok")
    with pytest.raises(BadArtefact, match="cannot be opened"):
        made.collect(job)
    made.speak(job)
    (made.out / "result.json").unlink()
    with pytest.raises(BadArtefact, match=r"result\.json cannot be opened"):
        made.collect(job)


def test_a_best_take_that_nobody_ordered_is_refused(made: Made) -> None:
    made.speak(ordered("ok", select_best=True))
    with pytest.raises(BadArtefact, match="was not asked for"):
        made.collect(ordered("ok"))


def test_only_known_fields_of_a_result_travel_on_and_their_words_are_cleaned(made: Made) -> None:
    job = ordered("ok")
    made.speak(job)
    made.change(engine="fa\x1bke", secret="x" * 1000, timings={"a\x00": 1, "b": "c"}, seed=2**70, degraded="yes")
    result = made.collect(job).result
    assert "secret" not in result
    assert result["engine"] == "fake"
    assert result["timings"] == {"a": 1, "b": None}
    assert (result["seed"], result["degraded"]) == (None, None)
    assert result["files"]["best"] is None


def test_a_full_spool_is_said_before_anything_is_copied(made: Made) -> None:
    job = ordered("ok")
    made.speak(job)
    made.collector = SpoolCollector(made.spool, "name", 10**9)
    with pytest.raises(SpoolFull, match="SPOOL_MIN_FREE_MB=1000000000"):
        made.collect(job)
    assert made.spooled() == []


def test_discarding_removes_a_jobs_folder_only(made: Made) -> None:
    job = ordered("ok")
    made.speak(job)
    collected = made.collect(job)
    made.collector.discard(collected)
    assert made.spooled() == []
    assert made.spool.exists()


def chunk(kind: bytes, data: bytes) -> bytes:
    return kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def pcm(code: int = 1, channels: int = 1, rate: int = 24_000, bits: int = 16, block: int | None = None) -> bytes:
    block = channels * 2 if block is None else block
    return struct.pack("<HHIIHH", code, channels, rate, rate * block, block, bits)


def riff(*chunks: bytes) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def test_the_length_of_a_wav_is_read_past_other_chunks() -> None:
    wav = riff(chunk(b"LIST", b"odd"), chunk(b"fmt ", pcm()), chunk(b"data", bytes(48_000)))
    assert wav_seconds(wav, len(wav)) == 1.0
    extensible = pcm(code=0xFFFE) + struct.pack("<HHIH", 22, 16, 4, 1) + bytes(14)
    stereo = riff(chunk(b"fmt ", extensible), chunk(b"data", bytes(4_800)))
    assert wav_seconds(stereo, len(stereo)) == 0.1


@pytest.mark.parametrize(
    "wav",
    [
        b"",
        b"RIFF",
        riff(),
        riff(chunk(b"data", bytes(10))),
        riff(chunk(b"fmt ", b"short"), chunk(b"data", bytes(10))),
        riff(chunk(b"fmt ", pcm()), chunk(b"data", b"")),
        riff(chunk(b"fmt ", pcm()), chunk(b"data", bytes(9))),
        riff(chunk(b"fmt ", pcm(bits=8)), chunk(b"data", bytes(10))),
        riff(chunk(b"fmt ", pcm(code=3)), chunk(b"data", bytes(10))),
        riff(chunk(b"fmt ", pcm(rate=0)), chunk(b"data", bytes(10))),
        riff(chunk(b"fmt ", pcm(channels=40)), chunk(b"data", bytes(80))),
        riff(chunk(b"fmt ", pcm(block=3)), chunk(b"data", bytes(9))),
        riff(chunk(b"fmt ", pcm()), chunk(b"data", bytes(10))) + bytes(100_000),
    ],
)
def test_what_is_no_16_bit_wav_of_that_length_is_refused(wav: bytes) -> None:
    with pytest.raises(BadArtefact):
        wav_seconds(wav[:4096], len(wav))
