"""`job-runner enqueue-beatsheet JSON`: put one job a beat on the queue, each request id once.

The options for speech are the defaults with the lowest precedence: `ttsDefaults` and a beat's own `tts` win over them.
"""

from __future__ import annotations

import argparse

from cli.sending import configure_sending, enqueue_jobs

TEXT_OPTIONS = {
    "language": "language of the narration (default English)",
    "tone": "how it should sound, in a word or two",
    "instruct": "a direction for the speaker, in words",
    "instruct_style": "a named style of directions",
    "profile": "quality profile (default balanced)",
}
NUMBER_OPTIONS = {
    "variants": (int, "takes to speak of each beat (default 1)"),
    "temperature": (float, "at least 0"),
    "top_p": (float, "above 0, at most 1"),
    "repetition_penalty": (float, "above 0"),
    "max_new_tokens": (int, "at least 1"),
}
FLAGS = {
    "select_best": "also choose the best take",
    "chunk": "speak a long narration in pieces",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("json_file", metavar="JSON", help="beatsheet: topicId, beats, optionally ttsDefaults")
    who = parser.add_mutually_exclusive_group()
    who.add_argument("--voice", metavar="V", help="voice for beats that name none")
    who.add_argument("--speaker", metavar="S", help="speaker for beats that name none")
    group = parser.add_argument_group("defaults for speech (ttsDefaults and each beat's tts win over them)")
    for field, text in TEXT_OPTIONS.items():
        group.add_argument(_option(field), metavar="TEXT", help=text)
    for field, (kind, text) in NUMBER_OPTIONS.items():
        group.add_argument(_option(field), metavar="N", type=kind, help=text)
    for field, text in FLAGS.items():
        group.add_argument(_option(field), action=argparse.BooleanOptionalAction, default=None, help=text)
    configure_sending(parser)


def run(args: argparse.Namespace) -> int:
    """Validate, then enqueue."""
    from lib.manifest.beatsheet import jobs_from_beatsheet

    fields = ("voice", "speaker", *TEXT_OPTIONS, *NUMBER_OPTIONS, *FLAGS)
    jobs = jobs_from_beatsheet(args.json_file, {field: getattr(args, field) for field in fields})
    if not args.no_voice_check:
        from cli.jobfile import check_voices

        check_voices(jobs, args.cache, lambda row, field: f"{args.json_file}: beats[{row}].{field}")
    return enqueue_jobs(args, "enqueue-beatsheet", args.json_file, jobs)


def _option(field: str) -> str:
    return "--" + field.replace("_", "-")
