"""The command group: finds a command, runs it, turns our errors into one clear message and a documented exit code.

A command is a module with `configure(parser)` and `run(args) -> int`, imported only when it is asked for: offline
commands never pay for Redis. Anything that is not one of our errors is a bug and keeps its traceback.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Sequence

from cli import console
from cli.exits import BROKEN_PIPE, FAILED, INTERRUPTED, OK, UsageError, exit_code
from lib.errors import InputError, JobRunnerError

OFFLINE = {
    "plan": ("cli.commands.plan", "Validate jobs and voices, preview the work"),
    "compile": ("cli.commands.compile", "Write text files and a deterministic manifest.json"),
    "run": ("cli.commands.run", "Compile and execute on this machine"),
    "execute-manifest": ("cli.commands.execute_manifest", "Execute a compiled manifest.json"),
    "completion": ("cli.commands.completion", "Print a completion script for a shell"),
}
REDIS = {
    "enqueue": ("cli.commands.enqueue", "Put the jobs of a YAML file on the queue, each once"),
    "enqueue-beatsheet": ("cli.commands.enqueue_beatsheet", "Put the beats of a beatsheet on the queue, each once"),
    "status": ("cli.commands.status", "Show queue depth, leases, locks and workers"),
    "history": ("cli.commands.history", "Show the jobs that ended last"),
    "result": ("cli.commands.result", "Show the final record of one job"),
    "report": ("cli.commands.report", "Show how far each job of a YAML file has come"),
    "retry": ("cli.commands.retry", "Put a failed or cancelled job on the queue again"),
    "cancel": ("cli.commands.cancel", "Stop a job that has not ended"),
    "flush": ("cli.commands.flush", "Delete the queue's transient state (--hard: records too)"),
}
COMMANDS: dict[str, tuple[str, str]] = {**OFFLINE, **REDIS}


_ROOM = "make room there, then run the same command again"
_RIGHTS = "name a place that this user may write, or change its permissions"
_OS_HINTS = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EROFS: _RIGHTS,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    console.open_streams()
    console.tolerate_any_character()
    started = time.monotonic()
    code = _outcome(arguments)
    if arguments and arguments[0] in COMMANDS and _wants_metrics():
        from cli import metrics

        metrics.publish(arguments[0], code, time.monotonic() - started)
    return code


def _wants_metrics() -> bool:
    return bool(os.environ.get("PUSHGATEWAY_URL") or os.environ.get("JOB_RUNNER_METRICS_TEXTFILE"))


def _outcome(arguments: list[str]) -> int:
    try:
        code = _dispatch(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        console.warn("job-runner: interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        return _reader_left()
    except (JobRunnerError, OSError) as error:
        return _report(error, as_json=_wants_json(arguments))
    return code


def _dispatch(arguments: list[str]) -> int:
    if not arguments:
        console.warn(help_text())
        return exit_code(UsageError(""))
    name, rest = arguments[0], arguments[1:]
    if name in ("-h", "--help", "help") and not rest:
        console.say(help_text())
        return OK
    if name in ("-V", "--version"):
        console.say(f"job-runner {version()}")
        return OK
    if name == "help":
        name, rest = rest[0], ["--help"]
    if name not in COMMANDS:
        raise UsageError(_unknown(name), hint="see `job-runner --help`")
    return run_command(name, rest)


def run_command(name: str, arguments: Sequence[str]) -> int:
    """Parse `arguments` for command `name` and run it."""
    from cli.parser import command_parser, load_command

    module_name, summary = COMMANDS[name]
    module = load_command(module_name)
    parser = command_parser(name, summary, module)
    try:
        args = parser.parse_strictly(arguments)
    except SystemExit as stop:  # argparse printed the help it was asked for
        return int(stop.code or 0)
    return int(module.run(args))


def help_text() -> str:
    """Return the help of the whole program."""
    lines = ["usage: job-runner [--version] [--help] COMMAND ...", ""]
    lines.append("Plan, enqueue, compile, execute and inspect batch text-to-speech jobs.")
    for title, commands in (("Offline commands (no Redis needed):", OFFLINE), ("Redis commands:", REDIS)):
        lines += ["", title]
        lines += [f"  {name:<18} {summary}" for name, (_, summary) in commands.items()]
    lines += ["", "`job-runner COMMAND --help` explains one command."]
    lines.append("Exit codes: 0 done, 1 a job or the command failed, 2 bad input or usage, 3 Redis cannot be used,")
    lines.append("4 nothing found, 130 interrupted.")
    return "\n".join(lines)


def version() -> str:
    """Return the installed version."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("job-runner")
    except PackageNotFoundError:
        return "not installed"


def _unknown(name: str) -> str:
    from cli.parser import did_you_mean

    if name.startswith("-"):
        return f"job-runner: unknown option {name}{did_you_mean(name, ['--help', '--version'])}"
    return f"job-runner: unknown command {name!r}{did_you_mean(name, list(COMMANDS))}"


def _wants_json(arguments: Sequence[str]) -> bool:
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--json" in own


def _report(error: JobRunnerError | OSError, *, as_json: bool) -> int:
    """Say what went wrong, on stdout as JSON or on stderr for people; return the exit code."""
    if isinstance(error, OSError):
        code, kind, message = FAILED, "system_error", _os_message(error)
        hint = _OS_HINTS.get(error.errno or 0, "")
    else:
        code, kind, message = exit_code(error), error.error_type, str(error)
        hint = getattr(error, "hint", "")
    problems = error.problems if isinstance(error, InputError) else [message]
    try:
        if as_json:
            from cli.render import error_json

            console.say(error_json(kind, message, problems, hint))
        else:
            from cli.render import error_lines

            console.warn(error_lines(problems, hint, colour=console.use_colour(sys.stderr)))
        sys.stdout.flush()
    except BrokenPipeError:
        return _reader_left()
    except OSError as unwritable:  # standard output itself is full or gone: the exit code still tells
        if as_json:
            console.warn(f"job-runner: {_os_message(unwritable)}")
        _drop_output()
    return code


def _os_message(error: OSError) -> str:
    if error.filename is None:
        return error.strerror or str(error)
    return f"{os.fsdecode(error.filename)}: {error.strerror or error}"


def _reader_left() -> int:
    """Whoever read our output is gone (`| head`): end quietly, also at the interpreter's last flush."""
    _drop_output()
    return BROKEN_PIPE


def _drop_output() -> None:
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, sys.stdout.fileno())
    os.close(sink)
