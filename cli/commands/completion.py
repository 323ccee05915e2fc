"""`completion SHELL`: a script that completes commands, options and file names."""

from __future__ import annotations

import argparse

from cli import console
from cli.exits import OK, CommandFailed

SHELLS = ("bash", "zsh", "tcsh")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("shell", choices=SHELLS, help="the shell to complete in")


def run(args: argparse.Namespace) -> int:
    """Print the script: `eval "$(job-runner completion bash)"`."""
    try:
        import shtab
    except ImportError:
        raise CommandFailed("shtab is not installed; install job-runner with its dependencies") from None
    console.say(shtab.complete(whole_parser(), shell=args.shell))
    return OK


def whole_parser() -> argparse.ArgumentParser:
    """Return one parser with every command: only this command needs all their modules."""
    import shtab

    from cli.main import COMMANDS
    from cli.parser import load_command

    parser = argparse.ArgumentParser(prog="job-runner", description="Batch text-to-speech jobs.")
    parser.add_argument("--version", action="store_true", help="show the version")
    commands = parser.add_subparsers(dest="command")
    for name, (module_name, summary) in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary)
        load_command(module_name).configure(command)
        for action in command._actions:
            if action.metavar in ("YAML", "JSON", "MANIFEST"):
                action.complete = shtab.FILE  # type: ignore[attr-defined]  # shtab reads it
            elif action.metavar == "DIR":
                action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
    return parser
