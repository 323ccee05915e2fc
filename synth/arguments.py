"""The command line of voice-synth: which options there are. What they may hold is checked in request.py."""

from __future__ import annotations

import argparse
from typing import NoReturn

from lib.errors import InputError
from lib.voices import nearest

VALUED = (
    ("--voice", "SLUG", "a voice of the voices folder"),
    ("--speaker", "NAME", "one of the nine speakers (see list-speakers)"),
    ("--language", "NAME", "name or code, or Auto (default: the voice's, else Auto)"),
    ("--profile", "NAME", "stable, balanced (default) or expressive"),
    ("--variants", "N", "how many takes to make (default 1)"),
    ("--seed", "N", "seed of the first take; the others follow it (default 0)"),
    ("--tone", "NAME", "a tone of the voice (GPU engine)"),
    ("--instruct", "TEXT", "how to speak (GPU engine)"),
    ("--instruct-style", "TEXT", "a style by name (GPU engine)"),
    ("--temperature", "X", "at least 0 (GPU engine)"),
    ("--top-p", "X", "above 0, at most 1 (GPU engine)"),
    ("--repetition-penalty", "X", "above 0 (GPU engine)"),
    ("--max-new-tokens", "N", "at least 1 (GPU engine)"),
    ("--text", "TEXT", "the text itself"),
    ("--text-file", "PATH", "a UTF-8 file with the text, at most one MiB"),
    ("--out-exact", "DIR", "the folder that gets take_01.wav …, best.wav, takes.meta.json, text.txt"),
    ("--json-result", "FILE", "where to write the result, also that of a failure"),
    ("--engine", "NAME", "auto (default), embedded, hibari, espeak or qwen; env VOICE_SYNTH_ENGINE"),
    ("--cache", "DIR", "the folder that holds voices/; env VOICE_SYNTH_CACHE, JOB_RUNNER_CACHE"),
)


class Parser(argparse.ArgumentParser):
    """Raises InputError where argparse would end the process."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of exit."""
        raise InputError(f"{message} (see `{self.prog} --help`)")


def build() -> Parser:
    """Return the parser with its four commands."""
    parser = Parser(
        prog="voice-synth",
        allow_abbrev=False,
        description="Text to speech on this machine, with exchangeable engines.",
        epilog="exit codes: 0 done, 2 bad input, 3 unknown voice or speaker, 4 engine trouble that may pass, 1 other",
    )
    parser.add_argument("--version", action="store_true", help="show the version")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    speak = commands.add_parser("speak", help="make audio of a text", allow_abbrev=False)
    for option, metavar, text in VALUED:
        speak.add_argument(option, metavar=metavar, help=text)
    speak.add_argument("--select-best", action="store_true", help="choose the best take and write best.wav")
    speak.add_argument("--chunk", action="store_true", help="speak a long text in pieces, joined with pauses")
    voices = commands.add_parser("list-voices", help="the voices of the voices folder", allow_abbrev=False)
    voices.add_argument("--cache", metavar="DIR", help="the folder that holds voices/")
    speakers = commands.add_parser("list-speakers", help="the nine speakers", allow_abbrev=False)
    capabilities = commands.add_parser("capabilities", help="engines, languages and features", allow_abbrev=False)
    capabilities.add_argument(
        "--strict", action="store_true", help="end with status 4 when a language has no engine on this machine"
    )
    for command in (voices, speakers, capabilities):
        command.add_argument("--json", action="store_true", help="JSON for programs")
    return parser


def parse(argv: list[str]) -> argparse.Namespace:
    """Return the parsed command line, or raise InputError; an unknown option is named with the nearest known one."""
    parser = build()
    given, unknown = parser.parse_known_args(argv)
    if unknown:  # a subparser passes over what it does not know
        raise InputError([_unknown(given, one) for one in unknown])
    return given


def _unknown(given: argparse.Namespace, word: str) -> str:
    option = word.partition("=")[0]
    known = [f"--{name.replace('_', '-')}" for name in vars(given) if name != "command"]
    like = nearest(option, known) if option.startswith("--") else []
    hint = f": did you mean {like[0]}?" if like else ""
    return f"unknown {'option' if word.startswith('-') else 'argument'} {option}{hint}"


def result_path(argv: list[str]) -> str | None:
    """Return the value of --json-result, also of a command line that does not parse."""
    for position, word in enumerate(argv):
        if word == "--json-result" and position + 1 < len(argv):
            return argv[position + 1] or None
        if word.startswith("--json-result="):
            return word.partition("=")[2] or None
    return None
