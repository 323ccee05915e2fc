"""Asking before a move that cannot be taken back. Without a terminal nobody is asked, and `--yes` is needed."""

from __future__ import annotations

import sys

from cli import console
from cli.exits import UsageError


def must_be_able_to_ask(command: str, *, yes: bool) -> None:
    """Refuse at once, before Redis is asked anything, where nobody can answer."""
    if not yes and not console.is_terminal(sys.stdin):
        raise UsageError(
            f"job-runner {command}: needs a yes, and there is no terminal to ask on; nothing was changed",
            hint=f"give --yes: job-runner {command} ... --yes",
        )


def confirmed(question: str, *, yes: bool) -> bool:
    """Ask on the terminal; only `y` or `yes` is a yes."""
    if yes:
        return True
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    answer = sys.stdin.readline()
    if not answer:
        sys.stderr.write("\n")
    return answer.strip().lower() in ("y", "yes")
