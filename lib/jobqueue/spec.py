"""The job spec and its only door: YAML, beatsheets and stream entries all pass through `normalize_job_spec`.

Owns the fields, their defaults and the content hash. Pure. Refuses anything it would have to guess about; whether a
voice or speaker exists is the plan's question, not the spec's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lib.errors import InputError
from lib.jobqueue import fields
from lib.jobqueue.callback import callback_data

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypedDict

    class JobSpec(TypedDict):
        """A normalised job: every field present, absent ones None (docs/cli.md, "Job fields")."""

        request_id: str
        queued_at: str | None
        voice: str | None
        speaker: str | None
        text: str
        language: str
        tone: str | None
        instruct: str | None
        instruct_style: str | None
        profile: str
        variants: int
        select_best: bool
        chunk: bool
        temperature: float | None
        top_p: float | None
        repetition_penalty: float | None
        max_new_tokens: int | None
        output_name: str
        callback_data: dict[str, object] | None
        content_hash: str | None
        attempt: int

else:
    JobSpec = dict

Problem = tuple[str, str]

DEFAULTS: dict[str, object] = {
    "request_id": None,
    "queued_at": None,
    "voice": None,
    "speaker": None,
    "text": None,
    "language": "English",
    "tone": None,
    "instruct": None,
    "instruct_style": None,
    "profile": "balanced",
    "variants": 1,
    "select_best": False,
    "chunk": False,
    "temperature": None,
    "top_p": None,
    "repetition_penalty": None,
    "max_new_tokens": None,
    "output_name": None,
    "callback_data": None,
    "content_hash": None,
    "attempt": 0,
}

HASHED_FIELDS = (
    "voice",
    "speaker",
    "text",
    "language",
    "tone",
    "instruct",
    "instruct_style",
    "profile",
    "variants",
    "select_best",
    "chunk",
    "temperature",
    "top_p",
    "repetition_penalty",
    "max_new_tokens",
)
FLOAT_FIELDS = ("temperature", "top_p", "repetition_penalty")

STRICT: dict[str, fields.Check] = {
    "request_id": fields.request_id,
    "queued_at": fields.moment,
    "voice": fields.voice,
    "speaker": fields.name,
    "text": fields.text,
    "language": fields.name,
    "tone": fields.note,
    "instruct": fields.note,
    "instruct_style": fields.note,
    "profile": fields.name,
    "variants": fields.integer(1, fields.MAX_VARIANTS),
    "select_best": fields.boolean,
    "chunk": fields.boolean,
    "temperature": fields.number("a number of at least 0", lambda value: value >= 0),
    "top_p": fields.number("a number above 0 and at most 1", lambda value: 0 < value <= 1),
    "repetition_penalty": fields.number("a number above 0", lambda value: value > 0),
    "max_new_tokens": fields.integer(1),
    "output_name": fields.output_name,
    "callback_data": callback_data,
    "content_hash": fields.name,
    "attempt": fields.integer(0),
}
# Entries of other programs: JSON writers that know only floats, and times in whatever form.
TOLERANT: dict[str, fields.Check] = {
    **STRICT,
    "queued_at": fields.tolerant_moment,
    "variants": fields.integer(1, fields.MAX_VARIANTS, whole_floats=True),
    "max_new_tokens": fields.integer(1, whole_floats=True),
    "attempt": fields.integer(0, whole_floats=True),
}


def normalize_job_spec(raw: Mapping[str, object], *, strict: bool, where: str = "") -> JobSpec:
    """Return the normalised job, or raise InputError with one line for each fault.

    `strict` (files): an unknown field is an error. Otherwise (stream entries, stored specs) unknown fields are kept.
    """
    if not isinstance(raw, Mapping):
        raise InputError(f"{where or 'job'}: must be a mapping of fields, not {fields.describe(raw)}")
    spec, problems = check_job(raw, strict=strict)
    if problems:
        raise InputError([f"{_place(where, field)}{what}" for field, what in problems])
    return spec


def check_job(raw: Mapping[str, object], *, strict: bool) -> tuple[JobSpec, list[Problem]]:
    """Return the normalised job and its (field, what is wrong) problems; the job counts only without problems."""
    spec, problems = check_fields(raw, strict=strict)
    bad = {field for field, _ in problems}
    if not bad & {"voice", "speaker"}:
        problems += _voice_problem(spec)
    if spec["text"] is None and "text" not in bad:
        problems.append(("text", "is missing; write the words to speak"))
    if spec["output_name"] is None and "output_name" not in bad:
        problems.append(("output_name", "is missing; name the job's folder, such as topic/beat-001"))
    if spec["request_id"] is None and spec["output_name"] is not None and "request_id" not in bad:
        try:
            spec["request_id"] = fields.request_id(str(spec["output_name"]).replace("/", ":"))
        except ValueError as error:
            problems.append(("request_id", f"derived from output_name {error}"))
    if strict and not problems and spec["content_hash"] is not None:
        problems += _hash_problem(spec)
    return spec, problems  # type: ignore[return-value]  # complete once there are no problems


def check_fields(raw: Mapping[str, object], *, strict: bool) -> tuple[dict[str, object], list[Problem]]:
    """Check each given field by itself: what a `defaults` block needs."""
    checks = STRICT if strict else TOLERANT
    spec = DEFAULTS.copy()
    problems: list[Problem] = []
    for field, value in raw.items():
        check = checks.get(field) if type(field) is str else None
        if check is None:
            if strict:
                problems.append((fields.shown_name(field), unknown_field(field)))
            else:
                spec[field] = value
        elif value is not None:
            try:
                normal = check(value)
            except ValueError as error:
                problems.append((field, str(error)))
            else:
                if normal is not None:
                    spec[field] = normal
    return spec, problems


def content_hash(spec: Mapping[str, object]) -> str:
    """Return `sha256:` and the hash of the fifteen fields of a normalised job that decide how it sounds."""
    import hashlib
    import json

    content = {field: spec.get(field) for field in HASHED_FIELDS}
    for field in FLOAT_FIELDS:
        value = content[field]
        if isinstance(value, int | float):
            content[field] = float(value)
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return "sha256:" + hashlib.sha256(canonical.encode("ascii")).hexdigest()


def unknown_field(field: object, known: Iterable[str] = DEFAULTS, otherwise: str = "remove it") -> str:
    """Return what is wrong with an unknown field, with the nearest known one."""
    from difflib import get_close_matches

    near = get_close_matches(str(field), list(known), n=1, cutoff=0.6)
    return f"unknown field; {f'did you mean {near[0]}?' if near else otherwise}"


def _voice_problem(spec: Mapping[str, object]) -> list[Problem]:
    if spec["voice"] is not None and spec["speaker"] is not None:
        return [("voice", "both voice and speaker are given; keep one and set the other to null")]
    if spec["voice"] is None and spec["speaker"] is None:
        return [("voice", "neither voice nor speaker is given; give one of them")]
    return []


def _hash_problem(spec: Mapping[str, object]) -> list[Problem]:
    if spec["content_hash"] == content_hash(spec):
        return []
    return [("content_hash", "does not match the job's content; leave it out")]


def _place(where: str, field: str) -> str:
    return f"{where}.{field}: " if where else f"{field}: "
