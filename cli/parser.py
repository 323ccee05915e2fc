"""One command's argument parser: argparse that raises UsageError instead of exiting, with did-you-mean.

Builds the parser of one command at a time, so that a command pays only for its own module.
"""

from __future__ import annotations

import argparse
from importlib import import_module

from cli.console import DEFAULT_WIDTH, terminal_width
from cli.exits import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType
    from typing import NoReturn


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """argparse's own, told the width: finding it out by itself would import shutil."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28, width=min(terminal_width() or DEFAULT_WIDTH, 110) - 2)


class Parser(argparse.ArgumentParser):
    """Raises UsageError; refuses unknown options before it complains about anything else."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message}", hint=f"see `{self.prog} --help`")

    def parse_strictly(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parse `arguments`; name the nearest option when one is unknown."""
        for word in arguments:
            if word == "--":
                break
            name = word.split("=", 1)[0]
            if name.startswith("--") and name not in self._option_string_actions:
                known = [option for option in self._option_string_actions if option.startswith("--")]
                self.error(f"unknown option {name}{did_you_mean(name, known)}")
        return self.parse_args(arguments)


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """Return `; did you mean X?` for the nearest of `known`, else an empty string."""
    from difflib import get_close_matches

    near = get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""


def load_command(module_name: str) -> ModuleType:
    """Import the module of one command."""
    return import_module(module_name)


def command_parser(name: str, summary: str, module: ModuleType) -> Parser:
    """Return the configured parser of command `name`."""
    parser = Parser(
        prog=f"job-runner {name}",
        description=summary + ".",
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    module.configure(parser)
    return parser
