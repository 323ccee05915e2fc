"""A YAML file to normalised jobs: the three root shapes, `defaults`, and every fault of the file at once.

Reads the file and nothing else: whether a voice exists is the plan's question (summary.py).
"""

from __future__ import annotations

import gc
import os
from collections.abc import Mapping, Sequence

from lib.errors import InputError
from lib.jobqueue.fields import describe, shown_name
from lib.jobqueue.spec import DEFAULTS, JobSpec, check_fields, check_job, unknown_field
from lib.manifest import tree
from lib.manifest.rows import Place, conflicts
from lib.manifest.source import read_text, shown_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lib.manifest.tree import Node

MAX_JOBS = 100_000
MAX_PROBLEMS = 1000
ROOT_KEYS = ("jobs", "defaults")


def load_jobs(path: str | os.PathLike[str]) -> list[JobSpec]:
    """Return the normalised jobs of a YAML file in its order, or raise InputError with one line for each fault."""
    return load_job_file(path).jobs


def load_job_file(path: str | os.PathLike[str]) -> JobFile:
    """Return the jobs of a YAML file together with the place of each field."""
    return jobs_from_text(read_text(path), shown_path(path))


def jobs_from_text(text: str, shown: str) -> JobFile:
    """Return the jobs of YAML `text`; messages call it `shown`."""
    collecting = gc.isenabled()
    gc.disable()  # hundreds of thousands of nodes live until the end: collecting among them costs a third of the time
    try:
        root = tree.compose(text, shown)
        if root is None:
            raise InputError(f"{shown}: is empty; write at least one job")
        file = _File(shown, root)
        return JobFile(file.jobs(), file.place)
    finally:
        if collecting:
            gc.enable()


class JobFile:
    """The jobs of a file; `place(row, field)` is `file:line: jobs[row].field`, for messages about them."""

    __slots__ = ("jobs", "place")

    def __init__(self, jobs: list[JobSpec], place: Place) -> None:
        self.jobs = jobs
        self.place = place


class _File:
    """One file while it is read: its nodes (for the lines), its values, its problems."""

    def __init__(self, shown: str, root: Node) -> None:
        self._shown = shown
        builder = tree.Builder(shown)
        self._value = builder.build(root)
        self._problems = builder.problems
        self._rows: Sequence[Node] = []
        self._defaults_node: Node | None = None
        self._root = root

    def jobs(self) -> list[JobSpec]:
        """Return the jobs, or raise InputError with every fault found."""
        rows, defaults = self._shape()
        given = self._check_defaults(defaults)
        jobs: list[JobSpec | None] = []
        for row, raw in enumerate(rows):
            jobs.append(self._job(row, raw, given))
            if len(self._problems) > MAX_PROBLEMS:
                self._problems.append(f"{self._shown}: more than {MAX_PROBLEMS:,} faults; the rest is not shown")
                raise InputError(self._problems)
        self._problems += conflicts(jobs, self.place)[:MAX_PROBLEMS]
        if self._problems:
            raise InputError(self._problems)
        return [job for job in jobs if job is not None]

    def _shape(self) -> tuple[list[object], object]:
        """Return (rows, defaults) of one of the three root shapes."""
        root, value = self._root, self._value
        if isinstance(value, list):
            self._rows = root.value
            return self._bounded(value, 1), None
        if not isinstance(value, dict):
            raise InputError([*self._problems, self._wrong_root(value)])
        if "jobs" not in value:
            if "defaults" in value:
                raise InputError(f"{self._shown}:1: there are defaults but no jobs; add jobs: [...]")
            if not value:
                raise InputError(f"{self._shown}:1: is empty; write at least one job")
            self._rows = [root]
            return [value], None
        for key in value:
            if key not in ROOT_KEYS and not str(key).startswith("x-"):
                self._problems.append(f"{self._line_of(root, key)}: {_unknown_root(key)}")
        nodes = {key.value: node for key, node in root.value}
        self._defaults_node = nodes.get("defaults")
        jobs = value["jobs"]
        line = nodes["jobs"].start_mark.line + 1 if "jobs" in nodes else 1
        if not isinstance(jobs, list):
            what = "is empty" if jobs is None else f"must be a list, not {describe(jobs)}"
            raise InputError([*self._problems, f"{self._shown}:{line}: jobs: {what}; write one '- ...' for each job"])
        self._rows = nodes["jobs"].value if "jobs" in nodes else []
        return self._bounded(jobs, line), value.get("defaults")

    def _wrong_root(self, value: object) -> str:
        if value is None:
            return f"{self._shown}:1: is empty; write at least one job"
        return (
            f"{self._shown}:{self._root.start_mark.line + 1}: the root is {describe(value)}; "
            "write jobs: [...], a list of jobs, or one job"
        )

    def _bounded(self, rows: list[object], line: int) -> list[object]:
        if not rows:
            raise InputError([*self._problems, f"{self._shown}:{line}: jobs: holds no job; write at least one"])
        if len(rows) > MAX_JOBS:
            raise InputError(
                f"{self._shown}:{line}: jobs: has {len(rows):,} jobs, more than {MAX_JOBS:,}; split the file"
            )
        return rows

    def _check_defaults(self, defaults: object) -> dict[str, object]:
        """Return the defaults that are sound, so that a fault in them is reported once and not for each job."""
        if defaults is None:
            return {}
        node = self._defaults_node
        if not isinstance(defaults, dict):
            line = node.start_mark.line + 1 if node is not None else 1
            self._problems.append(
                f"{self._shown}:{line}: defaults: must be a mapping, not {describe(defaults)}; write key: value pairs"
            )
            return {}
        _, problems = check_fields(defaults, strict=True)
        for field, what in problems:
            self._problems.append(f"{self._line_of(node, field)}: defaults.{field}: {what}")
        bad = {field for field, _ in problems}
        return {field: value for field, value in defaults.items() if field in DEFAULTS and field not in bad}

    def _job(self, row: int, raw: object, defaults: dict[str, object]) -> JobSpec | None:
        if not isinstance(raw, dict):
            place = f"{self._shown}:{self._rows[row].start_mark.line + 1}: jobs[{row}]"
            self._problems.append(f"{place}: must be a mapping of fields, not {describe(raw)}; write field: value")
            return None
        spec, problems = check_job(merge(defaults, raw) if defaults else raw, strict=True)
        if not problems:
            return spec
        for field, what in problems:
            if field == "voice" and what.startswith("both") and defaults.get("voice", defaults.get("speaker")):
                what += " (one comes from defaults)"
            self._problems.append(f"{self.place(row, field)}: {what}")
        return None

    def place(self, row: int, field: str) -> str:
        """Return where a field of a row stands."""
        return f"{self._line_of(self._rows[row], field)}: jobs[{row}].{field}"

    def _line_of(self, node: Node | None, field: object) -> str:
        """Return `file:line` of a field in a mapping node, else of the mapping itself."""
        if node is None:
            return f"{self._shown}:1"
        line = node.start_mark.line + 1
        if node.id == "mapping":
            for key_node, _ in node.value:
                if key_node.value == str(field):
                    line = key_node.start_mark.line + 1
                    break
        return f"{self._shown}:{line}"


def merge(defaults: Mapping[str, object], job: Mapping[str, object]) -> dict[str, object]:
    """Lay `job` over `defaults`: a null in the job overrides, `callback_data` is merged deeply."""
    together = {**defaults, **job}
    below, above = defaults.get("callback_data"), job.get("callback_data")
    if isinstance(below, dict) and isinstance(above, dict):
        together["callback_data"] = _deep_merge(below, above)
    return together


def _deep_merge(below: dict[str, object], above: dict[str, object]) -> dict[str, object]:
    together = dict(below)
    for key, value in above.items():
        known = together.get(key)
        if isinstance(known, dict) and isinstance(value, dict):
            together[key] = _deep_merge(known, value)
        else:
            together[key] = value
    return together


def _unknown_root(key: object) -> str:
    otherwise = "keep only jobs and defaults (or name it x-...)"
    return f"{shown_name(key)}: {unknown_field(key, ROOT_KEYS, otherwise)}"
