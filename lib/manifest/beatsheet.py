"""A beatsheet (JSON) to normalised jobs, one a beat.

Precedence: options of the command line < `ttsDefaults` < the beat's `tts`; the most specific source that names a voice
or a speaker decides both. Refuses double beat ids and a topicId that is no safe name: both become paths and keys.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping

from lib.errors import InputError
from lib.jobqueue import fields
from lib.jobqueue.spec import DEFAULTS, JobSpec, check_fields, check_job, unknown_field
from lib.manifest.rows import conflicts
from lib.manifest.source import read_text, shown_path

TOPIC_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
ROOT_FIELDS = ("topicId", "title", "totalBeats", "ttsDefaults", "beats")
BEAT_FIELDS = ("id", "narration", "tts")
NOT_IN_TTS = frozenset({"request_id", "queued_at", "text", "output_name", "callback_data", "content_hash", "attempt"})
TTS_FIELDS = tuple(field for field in DEFAULTS if field not in NOT_IN_TTS)
MAX_BEATS = 100_000
MAX_BEAT_ID = 10**9

Layer = Mapping[str, object]


def jobs_from_beatsheet(path: str | os.PathLike[str], cli_options: Mapping[str, object]) -> list[JobSpec]:
    """Return one job for each beat, or raise InputError with one line for each fault.

    `cli_options` holds job fields (voice, speaker, language, ...); those that are None count as not given.
    """
    shown = shown_path(path)
    text = read_text(path)
    reader = _Reader(_parse(text, shown))
    jobs = reader.jobs(cli_options)
    if reader.problems:
        raise InputError(_with_lines(reader.problems, text, shown))
    return jobs


def _parse(text: str, shown: str) -> dict[str, object]:
    try:
        value = json.loads(text, object_pairs_hook=_no_double_keys, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise InputError(
            f"{shown}:{error.lineno}:{error.colno}: not valid JSON: {error.msg}; correct it here"
        ) from None
    except RecursionError:
        raise InputError(f"{shown}: nested too deeply; flatten it") from None
    except ValueError as error:
        raise InputError(f"{shown}: {error}") from None
    if not isinstance(value, dict):
        raise InputError(f"{shown}:1: a beatsheet must be a mapping, not {fields.describe(value)}; write {{...}}")
    return value


def _no_double_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    together = dict(pairs)
    if len(together) != len(pairs):
        seen: set[str] = set()
        double = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {double!r} stands twice in one object; remove one")
    return together


def _no_constant(word: str) -> object:
    raise ValueError(f"{word} is not JSON; write a finite number or null")


class _Reader:
    """One beatsheet while it is read. `problems` holds ((path, ...), what) pairs."""

    def __init__(self, sheet: dict[str, object]) -> None:
        self._sheet = sheet
        self.problems: list[tuple[tuple[str | int, ...], str]] = []

    def jobs(self, cli_options: Layer) -> list[JobSpec]:
        """Return the jobs; they count only without problems."""
        self._unknown(self._sheet, ROOT_FIELDS, ())
        topic = self._topic()
        beats = self._beats()
        options = {field: value for field, value in cli_options.items() if value is not None}
        below = [self._layer(options, ("options",)), self._layer(self._sheet.get("ttsDefaults"), ("ttsDefaults",))]
        base = {"topic_id": topic, "total_beats": self._total(len(beats))}
        if (title := self._title()) is not None:
            base["topic_title"] = title
        jobs: list[JobSpec | None] = []
        seen: dict[int, int] = {}
        for row, beat in enumerate(beats):
            jobs.append(self._job(row, beat, topic, below, base, seen))
        if not self.problems:
            self.problems += [((), problem) for problem in conflicts(jobs, lambda row, _: f"beats[{row}]")]
        return [job for job in jobs if job is not None]

    def _topic(self) -> str:
        topic = self._sheet.get("topicId")
        if not isinstance(topic, str):
            what = "is missing" if topic is None else f"must be text, not {fields.describe(topic)}"
            self._problem(("topicId",), f"{what}; name the topic")
        elif not TOPIC_ID.fullmatch(topic):
            self._problem(
                ("topicId",),
                f"{fields.shorten(repr(topic))} is no safe name; "
                "use at most 100 of letters, digits, '.', '-' and '_', first a letter or digit",
            )
        else:
            return topic
        return "topic"

    def _title(self) -> str | None:
        title = self._sheet.get("title")
        if title is None:
            return None
        try:
            return fields.note(title)
        except ValueError as error:
            self._problem(("title",), str(error))
            return None

    def _total(self, found: int) -> int:
        total = self._sheet.get("totalBeats")
        if total is None:
            return found
        try:
            count = fields.integer(1)(total)
        except ValueError as error:
            self._problem(("totalBeats",), str(error))
            return found
        assert isinstance(count, int)
        if count < found:
            self._problem(("totalBeats",), f"is {count}, but there are {found} beats; correct it or leave it out")
        return count

    def _beats(self) -> list[object]:
        beats = self._sheet.get("beats")
        if not isinstance(beats, list):
            what = "is missing" if beats is None else f"must be a list, not {fields.describe(beats)}"
            self._problem(("beats",), f"{what}; write one object for each beat")
            return []
        if not beats:
            self._problem(("beats",), "holds no beat; write at least one")
        if len(beats) > MAX_BEATS:
            self._problem(("beats",), f"has {len(beats):,} beats, more than {MAX_BEATS:,}; split the file")
            return []
        return beats

    def _layer(self, given: object, path: tuple[str | int, ...]) -> Layer:
        """Return the sound fields of one source of tts settings."""
        if given is None:
            return {}
        if not isinstance(given, dict):
            self._problem(path, f"must be a mapping, not {fields.describe(given)}; write {{...}}")
            return {}
        self._unknown(given, TTS_FIELDS, path)
        known = {field: value for field, value in given.items() if field in TTS_FIELDS}
        checked, problems = check_fields(known, strict=True)
        for field, what in problems:
            self._problem((*path, field), what)
        if checked["voice"] is not None and checked["speaker"] is not None:
            self._problem((*path, "voice"), "both voice and speaker are given; keep one")
        bad = {field for field, _ in problems}
        return {field: value for field, value in known.items() if field not in bad}

    def _job(
        self, row: int, beat: object, topic: str, below: list[Layer], base: dict[str, object], seen: dict[int, int]
    ) -> JobSpec | None:
        path: tuple[str | int, ...] = ("beats", row)
        if not isinstance(beat, dict):
            self._problem(path, f"must be a mapping, not {fields.describe(beat)}; write {{...}}")
            return None
        self._unknown(beat, BEAT_FIELDS, path)
        settings: dict[str, object] = {}
        for layer in (*below, self._layer(beat.get("tts"), (*path, "tts"))):
            lay_over(settings, layer)
        try:
            number = fields.integer(0, MAX_BEAT_ID)(beat.get("id"))
        except ValueError as error:
            self._problem((*path, "id"), str(error))
            return None
        assert isinstance(number, int)
        if (first := seen.setdefault(number, row)) != row:
            self._problem((*path, "id"), f"{number} is the id of beats[{first}] too; give each beat its own")
            return None
        raw = {
            **settings,
            "text": beat.get("narration"),
            "request_id": f"{topic}:beat-{number:03d}",
            "output_name": f"{topic}/beat-{number:03d}",
            "callback_data": {**base, "beat_id": number},
        }
        spec, problems = check_job(raw, strict=True)
        for field, what in problems:
            self._problem((*path, "narration" if field == "text" else field), what)
        return None if problems else spec

    def _unknown(self, given: Mapping[str, object], known: tuple[str, ...], path: tuple[str | int, ...]) -> None:
        for field in given:
            if field not in known:
                self._problem((*path, field), unknown_field(field, known))

    def _problem(self, path: tuple[str | int, ...], what: str) -> None:
        self.problems.append((path, what))


def lay_over(settings: dict[str, object], layer: Layer) -> None:
    """Lay a more specific source over `settings`: naming a voice takes away a speaker from below, and the reverse."""
    if layer.get("voice") is not None:
        settings["speaker"] = None
    if layer.get("speaker") is not None:
        settings["voice"] = None
    settings.update(layer)


def _with_lines(problems: list[tuple[tuple[str | int, ...], str]], text: str, shown: str) -> list[str]:
    """Return the problems as text, with lines where YAML can read this JSON too (nearly always)."""
    from lib.manifest import tree

    try:
        root = tree.compose(text, shown)
    except InputError:
        root = None
    lines = []
    for path, what in problems:
        place = "".join(
            f"[{step}]" if isinstance(step, int) else f".{fields.shown_name(step)}" for step in path
        ).removeprefix(".")
        if path[:1] == ("options",):
            lines.append(f"--{str(path[-1]).replace('_', '-')}: {what}")
            continue
        at = f"{shown}:{tree.line_of(root, path)}" if root is not None else shown
        lines.append(f"{at}: {place}: {what}" if place else f"{at}: {what}")
    return lines
