"""The exit codes of `job-runner` (docs/cli.md) and the errors only a command raises. Decides nothing else."""

from __future__ import annotations

from lib.errors import (
    InputError,
    JobRunnerError,
    PermanentError,
    QueueCorrupt,
    QueueFull,
    QueueRefused,
    QueueUnavailable,
)

OK = 0
FAILED = 1
BAD_INPUT = 2
REDIS_UNUSABLE = 3
NOT_FOUND = 4
INTERRUPTED = 130
BROKEN_PIPE = 141


class UsageError(InputError):
    """The command line itself is wrong: unknown command or option, missing or surplus argument."""

    error_type = "usage"

    def __init__(self, problem: str, hint: str = "") -> None:
        super().__init__(problem)
        self.hint = hint


class NotFound(PermanentError):
    """No record, job or row of that name."""

    error_type = "not_found"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class CommandFailed(PermanentError):
    """The command could not do what it was asked, although input and Redis were fine."""

    error_type = "failed"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def exit_code(error: JobRunnerError) -> int:
    """Return the exit code that documents `error`."""
    if isinstance(error, InputError):
        return BAD_INPUT
    if isinstance(error, NotFound):
        return NOT_FOUND
    if isinstance(error, QueueUnavailable | QueueFull | QueueRefused | QueueCorrupt):
        return REDIS_UNUSABLE
    return FAILED
