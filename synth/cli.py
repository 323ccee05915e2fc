"""The door of voice-synth: runs one command, and turns every error into one message, an exit code and a result file."""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn

from lib.errors import InputError, JobRunnerError
from synth import arguments
from synth.errors import EXIT_BAD_INPUT, EXIT_ENGINE, EXIT_OTHER, OutputUnwritable, error_record, exit_code

EXIT_TERMINATED = 128 + signal.SIGTERM
EXIT_INTERRUPTED = 128 + signal.SIGINT


def main(argv: list[str] | None = None) -> int:
    """Run one command line; return the exit code."""
    words = sys.argv[1:] if argv is None else argv
    started = time.perf_counter()
    try:
        if words[:1] == ["speak"] and "--help" not in words and "-h" not in words:
            return _speak(words, started)
        return _other(words)
    except InputError as error:
        _complain(error)
        return EXIT_BAD_INPUT
    except JobRunnerError as error:
        _complain(error)
        return exit_code(error)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough; closing stderr keeps the interpreter from reporting it at exit.
        sys.stderr.close()
        return EXIT_OTHER


def _speak(words: list[str], started: float) -> int:
    """Speak, and write the result file whatever happens, unless somebody ends this process."""
    signal.signal(signal.SIGTERM, _terminate)
    from synth.speak import result_head, speak

    result_file = arguments.result_path(words)
    request = None
    try:
        from synth.request import speak_request

        request = speak_request(arguments.parse(words))
        result = speak(request, started)
    except Exception as error:
        code = exit_code(error)
        failed = result_head(request) | {
            "status": "failed",
            "files": None,
            "selection": None,
            "timings": {"total_seconds": round(time.perf_counter() - started, 4)},
            "error": error_record(error),
            "exit_code": code,
        }
        _write_result(result_file, failed)
        if not isinstance(error, JobRunnerError):
            raise
        _complain(error)
        return code
    if not _write_result(result_file, result):
        return EXIT_OTHER
    _report(result, request.out_exact)
    return 0


def _write_result(path: str | None, result: dict[str, object]) -> bool:
    from synth.output import write_json

    if path is None:
        return True
    try:
        write_json(Path(path), result)
    except OutputUnwritable as error:
        _complain(error)
        return False
    return True


def _report(result: dict[str, object], folder: str) -> None:
    files = result["files"]
    assert isinstance(files, dict)
    names = [entry["path"] for entry in files["takes"]] + (["best.wav"] if files["best"] else [])
    sys.stdout.write(f"{result['engine']} spoke {result['audio_seconds']:.1f} s: {', '.join(names)} in {folder}\n")
    sys.stdout.flush()


def _other(words: list[str]) -> int:
    given = arguments.parse(words)
    if given.version:
        sys.stdout.write(f"voice-synth {_version()}\n")
        return 0
    if given.command is None:
        raise InputError("a command is missing: speak, list-voices, list-speakers or capabilities (see --help)")
    from synth import listing

    if given.command == "list-voices":
        import os

        from lib.voices import cache_dir

        found = listing.voices(cache_dir(given.cache or os.environ.get("VOICE_SYNTH_CACHE")))
        text = listing.voices_text
    elif given.command == "list-speakers":
        found, text = listing.speakers(), listing.speakers_text
    else:
        found, text = {"app": "voice-synth", "version": _version()} | listing.capabilities(), listing.capabilities_text
    sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n" if given.json else text(found))
    sys.stdout.flush()
    missing = given.command == "capabilities" and given.strict and not _every_language_has_an_engine(found)
    return EXIT_ENGINE if missing else 0


def _every_language_has_an_engine(capabilities: dict[str, object]) -> bool:
    languages = capabilities["languages"]
    assert isinstance(languages, list)
    return all(language["engine"] for language in languages)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("job-runner")
    except PackageNotFoundError:
        return "unknown (not installed)"


def _complain(error: JobRunnerError) -> None:
    for line in str(error).splitlines() or [error.error_type]:
        sys.stderr.write(f"voice-synth: {line}\n")


def _terminate(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(EXIT_TERMINATED)
