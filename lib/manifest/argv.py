"""A job to the argv of `voice-synth speak`, and back. Pure.

Every valued option is one word (`--name=value`), because values may begin with "-"; only the three paths take two. They
are relative to the manifest's folder, so that the folder can be moved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lib.jobqueue.spec import FLOAT_FIELDS, check_fields

PROGRAM = ("voice-synth", "speak")
VALUED = (
    "voice",
    "speaker",
    "language",
    "profile",
    "variants",
    "tone",
    "instruct",
    "instruct_style",
    "temperature",
    "top_p",
    "repetition_penalty",
    "max_new_tokens",
)
FLAGS = ("select_best", "chunk")
INTEGERS = ("variants", "max_new_tokens")
PATHS = ("--text-file", "--out-exact", "--json-result")


def option(field: str) -> str:
    """Return the option of a field: `top_p` is `--top-p`."""
    return "--" + field.replace("_", "-")


def paths_of(output_name: str) -> list[str]:
    """Return the words of the three paths of a job."""
    folder = f"./{output_name}" if output_name.startswith("-") else output_name
    return ["--text-file", f"{folder}/text.txt", "--out-exact", folder, "--json-result", f"{folder}/result.json"]


def build_argv(job: Mapping[str, object]) -> list[str]:
    """Return the argv that speaks `job`."""
    words = list(PROGRAM)
    for field in VALUED[:5]:
        if job[field] is not None:
            words.append(f"{option(field)}={job[field]}")
    words += [option(field) for field in FLAGS if job[field]]
    for field in VALUED[5:]:
        if job[field] is not None:
            words.append(f"{option(field)}={job[field]}")
    return words + paths_of(str(job["output_name"]))


def parse_argv(argv: Sequence[str], output_name: str) -> dict[str, object]:
    """Return the fields that `argv` gives, or raise ValueError naming the first word that has no place there."""
    if tuple(argv[:2]) != PROGRAM:
        raise ValueError(f"is not '{' '.join(PROGRAM)} ...' but {' '.join(argv[:2])[:60]!r}")
    if list(argv[-6:]) != paths_of(output_name):
        raise ValueError(f"does not end with the paths of {output_name!r}")
    job: dict[str, object] = dict.fromkeys(VALUED)
    job.update(dict.fromkeys(FLAGS, False))
    valued = {option(field): field for field in VALUED}
    flags = {option(field): field for field in FLAGS}
    for word in argv[2:-6]:
        name, equals, value = word.partition("=")
        if equals and name in valued:
            job[valued[name]] = _value(valued[name], value)
        elif word in flags:
            job[flags[word]] = True
        else:
            raise ValueError(f"holds {word[:60]!r}, which is not allowed")
    job["output_name"] = output_name
    for field, what in check_fields(job, strict=True)[1]:
        raise ValueError(f"gives a {field} that {what}")
    if build_argv(job) != list(argv):
        raise ValueError("is not in the form that compile writes")
    return job


def _value(field: str, value: str) -> object:
    if field in INTEGERS:
        return int(value)
    if field in FLOAT_FIELDS:
        return float(value)
    return value
