"""Writes `.env.example` from the settings classes: `make env-example`. A test keeps the two equal.

Owns the layout: a section for each class that has fields of its own, a comment and a line for each setting, commented
out with its default. Refuses to hold a description of its own, but for the few variables that programs without settings
classes read (the command line and voice-synth start too often to pay for pydantic).
"""

from __future__ import annotations

import importlib
import sys
import textwrap
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

from pydantic import SecretStr
from pydantic_settings import BaseSettings

ROOT = Path(__file__).resolve().parent.parent
HEAD = """\
# Every setting of every process with its default. Copy it to .env, which ./run reads, and uncomment what you change;
# `make demo` needs none. A variable of the environment wins over the file. Secrets belong into files:
# NAME_FILE=/run/secrets/…
# Made from the settings classes by `make env-example`.
"""
PLAIN = {
    "The command line (job-runner), beside REDIS_URL, KEY_PREFIX and WATCHER_LEASE_IDLE_MS": {
        "JOB_RUNNER_CACHE": ("", "Folder that holds voices/; default: /cache where it exists, else cache/ here."),
        "REDIS_TIMEOUT_SECONDS": ("5", "How long job-runner waits for each answer of Redis before it tries again."),
        "PUSHGATEWAY_URL": ("", "Prometheus Pushgateway that gets the metrics of each run of job-runner."),
        "JOB_RUNNER_METRICS_TEXTFILE": ("", "File (or folder: a file for each command) for the same metrics as text."),
    },
    "voice-synth": {
        "VOICE_SYNTH_ESPEAK": ("", "binary or library: which espeak-ng must speak; default: whichever is found."),
        "VOICE_SYNTH_ENGINE": ("auto", "auto, or the engine that must speak: embedded, hibari, espeak."),
        "VOICE_SYNTH_CACHE": ("", "Folder that holds voices/, for voice-synth alone; wins over JOB_RUNNER_CACHE."),
        "VOICE_SYNTH_BIN": ("", "Program that execute-manifest runs for voice-synth; default: the one beside it."),
    },
    "supervision (./run supervisor)": {
        "SUPERVISOR_PROGRAMS": ("watcher provisioner uploader", "Which of ops/supervisor/programs/*.conf run."),
        "SUPERVISOR_RUN_DIR": ("", "Folder of the pid file and the control socket; default: a temporary one."),
        "SUPERVISOR_START_RETRIES": ("5", "Tries at a program that ends while starting, before all are stopped."),
    },
}


def settings_classes() -> Iterator[type[BaseSettings]]:
    """Every class that derives from BaseSettings in a `settings.py` of the repository, shared ones first."""
    files = sorted(ROOT.glob("*/settings.py"), key=lambda path: (path.parent.name != "lib", path))
    for path in files:
        module = importlib.import_module(f"{path.parent.name}.settings")
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, BaseSettings) and value.__module__ == module.__name__:
                yield value


def shown(default: object) -> str:
    """A default as an environment variable would hold it; blank for none."""
    if default is None:
        return ""
    if isinstance(default, SecretStr):
        return default.get_secret_value()
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, Enum):
        return str(default.value)
    return str(default)


def own_settings(settings: type[BaseSettings]) -> Iterator[tuple[str, str, str]]:
    """Name, default and description of each field that this class adds to those it derives from."""
    prefix = settings.model_config.get("env_prefix", "")
    inherited = {name for base in settings.__mro__[1:] for name in getattr(base, "model_fields", {})}
    for name, field in settings.model_fields.items():
        if name in inherited:
            continue
        alias = field.validation_alias
        variable = alias if isinstance(alias, str) else f"{prefix}{name}"
        if not field.description:
            raise SystemExit(f"{settings.__module__}.{settings.__name__}.{name} has no description")
        # A default that is found out at run time, such as the host's name, is another on every machine.
        known = not field.is_required() and field.default_factory is None
        default = shown(field.get_default()) if known else ""
        yield variable.upper(), default, field.description


def section(title: str, rows: list[tuple[str, str, str]]) -> str:
    lines = ["", f"# --- {title} ---"]
    for name, default, description in rows:
        lines += ["", *textwrap.wrap(description, 110, initial_indent="# ", subsequent_indent="# ")]
        lines.append(f"#{name}={default}")
    return "\n".join(lines) + "\n"


def example() -> str:
    """The whole file."""
    parts, seen = [HEAD], set[str]()
    for settings in settings_classes():
        # Two workers may read one variable (the host's name for both): it is listed where it comes first.
        rows = [row for row in own_settings(settings) if row[0] not in seen]
        seen |= {name for name, _default, _description in rows}
        if rows:
            summary = (settings.__doc__ or settings.__name__).strip().splitlines()[0].rstrip(".")
            process = settings.__module__.partition(".")[0]
            parts.append(section(f"{'shared' if process == 'lib' else process}: {summary}", rows))
    for title, variables in PLAIN.items():
        parts.append(section(title, [(name, *rest) for name, rest in variables.items()]))
    return "".join(parts)


if __name__ == "__main__":
    sys.stdout.write(example())
