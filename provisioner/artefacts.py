"""What a box says it made, held against what was ordered, and a WAV's head against its size. Pure.

Every name, number and text of a result.json is checked or cut; nothing of it travels on that is not named here.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from lib.errors import BadArtefact
from lib.jobqueue.spec import JobSpec
from lib.voices import speaker_name
from provisioner.follow import clean

MAX_RESULT_BYTES = 1024 * 1024
MAX_TEXT_BYTES = 1024 * 1024
MAX_META_BYTES = 16 * 1024 * 1024
MAX_WAV_BYTES = 1024 * 1024 * 1024
SECONDS_TOLERANCE = 0.05
WAV_HEAD_BYTES = 4096
MAX_AFTER_DATA_BYTES = 64 * 1024

_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_PCM, _EXTENSIBLE = 1, 0xFFFE


@dataclass(frozen=True, slots=True)
class Listed:
    """One file of a result. `seconds`: of audio, None where it is no audio."""

    name: str
    role: str
    size: int
    sha256: str
    seconds: float | None

    def payload(self) -> dict[str, object]:
        """Return it as an upload's payload lists it."""
        return {
            "path": self.name,
            "role": self.role,
            "size": self.size,
            "sha256": self.sha256,
            "seconds": self.seconds,
        }


def parse_result(data: bytes) -> dict[str, object]:
    """Return a result.json's object; NaN and infinity are no JSON."""
    try:
        value = json.loads(data, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise BadArtefact(f"result.json is not JSON: {clean(error, 200)}") from error
    if not isinstance(value, dict):
        raise BadArtefact("result.json is no object")
    return value


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def ordered_files(result: Mapping[str, object], job: JobSpec, text_sha256: str) -> list[Listed]:
    """Return the files of a result that is exactly what `job` ordered.

    Raises:
        BadArtefact: another version, status, voice, text or number of takes, or a file named in a way no result does.
    """
    if result.get("schema_version") != 1 or result.get("app") != "voice-synth" or result.get("status") != "done":
        raise BadArtefact("result.json is no voice-synth result of version 1 that says done")
    speaker = result.get("speaker")
    spoken_by = (result.get("voice"), None if speaker is None else speaker_name(str(speaker)))
    wanted = (job["voice"], None if job["speaker"] is None else speaker_name(job["speaker"]))
    if spoken_by != wanted:
        raise BadArtefact(f"spoken by {clean(spoken_by, 100)}, not by {wanted}")
    files = _object(result.get("files"), "files")
    takes = files.get("takes")
    if not isinstance(takes, list) or len(takes) != job["variants"]:
        raise BadArtefact(f"result.json lists not exactly the {job['variants']} takes that were asked for")
    listed = [
        _file(take, f"take_{number:02d}.wav", "take", MAX_WAV_BYTES, audio=True)
        for number, take in enumerate(takes, start=1)
    ]
    best = files.get("best")
    if (best is not None) != job["select_best"]:
        raise BadArtefact("best.wav is missing" if best is None else "best.wav was not asked for")
    if best is not None:
        listed.append(_file(best, "best.wav", "best", MAX_WAV_BYTES, audio=True))
    listed.append(_file(files.get("meta"), "takes.meta.json", "meta", MAX_META_BYTES, audio=False))
    text = _file(files.get("text"), "text.txt", "text", MAX_TEXT_BYTES, audio=False)
    if text.sha256 != text_sha256:
        raise BadArtefact("text.txt is not the text that was sent")
    _check_audio_seconds(result.get("audio_seconds"), listed)
    return [*listed, text]


def _check_audio_seconds(value: object, listed: list[Listed]) -> None:
    delivered = next((one for one in listed if one.role == "best"), listed[0])
    seconds = _number(value)
    assert delivered.seconds is not None
    if seconds is None or abs(seconds - delivered.seconds) > SECONDS_TOLERANCE:
        raise BadArtefact(f"audio_seconds is {clean(value, 40)}, but {delivered.name} has {delivered.seconds}")


def _file(raw: object, name: str, role: str, most: int, *, audio: bool) -> Listed:
    entry = _object(raw, name)
    if entry.get("path") != name:
        raise BadArtefact(f"result.json calls {name} {clean(entry.get('path'), 100)!r}")
    size, digest = entry.get("size"), entry.get("sha256")
    if type(size) is not int or not 0 < size <= most:
        raise BadArtefact(f"{name}: the size {clean(size, 40)} is not from 1 to {most} bytes")
    if not isinstance(digest, str) or not _SHA256.match(digest):
        raise BadArtefact(f"{name}: there is no SHA-256")
    seconds = _number(entry.get("seconds")) if audio else None
    if audio and (seconds is None or seconds <= 0):
        raise BadArtefact(f"{name}: {clean(entry.get('seconds'), 40)} are no seconds of audio")
    return Listed(name, role, size, digest, seconds)


def wav_seconds(head: bytes, size: int) -> float:
    """Return the length of a 16-bit PCM WAV of `size` bytes that begins with `head`.

    Raises:
        BadArtefact: it is something else, or its head promises more or less than the file holds.
    """
    if len(head) < 12 or head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        raise BadArtefact("it is no WAV file")
    at, rate, block = 12, 0, 0
    while at + 8 <= len(head):
        kind, length = head[at : at + 4], struct.unpack_from("<I", head, at + 4)[0]
        at += 8
        if kind == b"fmt ":
            rate, block = _format(head[at : at + length])
        elif kind == b"data":
            if not block:
                raise BadArtefact("its data come before its format")
            if not 0 < length <= size - at or length % block or size - at - length > MAX_AFTER_DATA_BYTES:
                raise BadArtefact(f"its head promises {length} bytes of audio, the file holds {size - at}")
            return float(length / block / rate)
        at += length + length % 2
    raise BadArtefact("it holds no audio")


def _format(chunk: bytes) -> tuple[int, int]:
    if len(chunk) < 16:
        raise BadArtefact("its format is cut short")
    code, channels, rate, _, block, bits = struct.unpack_from("<HHIIHH", chunk)
    if code == _EXTENSIBLE and len(chunk) >= 26:
        code = struct.unpack_from("<H", chunk, 24)[0]
    if code != _PCM or bits != 16 or not 1 <= channels <= 2 or block != channels * 2:
        raise BadArtefact(f"it is no 16-bit PCM (format {code}, {bits} bits, {channels} channels)")
    if not 8_000 <= rate <= 192_000:
        raise BadArtefact(f"it has a sample rate of {rate} Hz")
    return rate, block


def travelling_result(result: Mapping[str, object], listed: list[Listed]) -> dict[str, object]:
    """Return what of a result travels on: known fields, texts cut and cleaned, files as they were checked."""
    kept: dict[str, object] = {"schema_version": 1, "app": "voice-synth", "status": "done", "error": None}
    for name in ("created_at", "engine", "engine_version", "model", "voice", "speaker", "language"):
        value = result.get(name)
        kept[name] = clean(value, 300) if isinstance(value, str) else None
    for name in ("audio_seconds", "seed"):
        kept[name] = _number(result.get(name))
    degraded = result.get("degraded")
    kept["degraded"] = degraded if isinstance(degraded, bool) else None
    timings = result.get("timings")
    if isinstance(timings, dict):
        kept["timings"] = {clean(name, 40): _number(value) for name, value in list(timings.items())[:20]}
    selection = result.get("selection")
    if isinstance(selection, dict):
        take = selection.get("take")
        kept["selection"] = {
            "enabled": selection.get("enabled") is True,
            "take": take if type(take) is int else None,
            "why": clean(selection.get("why"), 500),
        }
    by_role: dict[str, list[dict[str, object]]] = {}
    for file in listed:
        by_role.setdefault(file.role, []).append(file.payload())
    kept["files"] = {
        "takes": by_role["take"],
        "best": by_role.get("best", [None])[0],
        "meta": by_role["meta"][0],
        "text": by_role["text"][0],
    }
    return kept


def _object(value: object, what: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise BadArtefact(f"result.json says nothing about {what}")
    return value


def _number(value: object) -> float | int | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value if abs(value) < 2**53 else None
