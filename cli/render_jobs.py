"""Plans and executions as text for people. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cli.render import clean, duration, table

Row = Mapping[str, object]


def plan_text(rows: Sequence[Row], totals: Row, shown: int, *, width: int | None, colour: bool) -> str:
    """Return the table of jobs (the first `shown`) and the sums."""
    cells = [
        (
            row["output_name"],
            row["voice"] or row["speaker"],
            row["language"],
            row["variants"],
            row["characters"],
            duration(_seconds(row["estimated_seconds"])),
        )
        for row in rows[:shown]
    ]
    headers = ("OUTPUT", "VOICE", "LANGUAGE", "TAKES", "CHARS", "EST.")
    lines = [
        table(headers, cells, width=width, right=(3, 4, 5), flexible=(0, 1, 2), droppable=(4, 2, 3), colour=colour)
    ]
    if len(rows) > shown:
        lines.append(f"... and {len(rows) - shown:,} more (--all shows them)")
    voices = totals["voices"]
    assert isinstance(voices, dict)
    named = ", ".join(f"{clean(voice)} {count:,}" for voice, count in voices.items())
    audio, speech = _seconds(totals["estimated_audio_seconds"]), _seconds(totals["estimated_speech_seconds"])
    lines += [
        "",
        f"{_count(totals['jobs'], 'job')}, {totals['characters']:,} characters, about {duration(audio)} of audio"
        + (f" ({duration(speech)} with all takes)" if speech > audio else ""),
        f"voices: {named}",
    ]
    return "\n".join(lines)


def execution_text(report: Row, where: str, *, width: int | None, colour: bool) -> str:
    """Return the table of an execution, its failures, and where the audio lies."""
    jobs = report["jobs"]
    assert isinstance(jobs, list)
    cells = [(job["status"], job["output_name"], _took(job), _why(job)) for job in jobs]
    headers = ("STATUS", "OUTPUT", "TOOK", "NOTE")
    lines = [
        table(headers, cells, width=width, right=(2,), flexible=(1, 3), droppable=(2,), colour=colour, status_column=0),
        "",
        f"{_count(report['done'], 'job')} done, {report['failed']} failed; the audio lies in {where}",
    ]
    failed = [job for job in jobs if job["status"] in ("failed", "killed")]
    if failed:
        lines.append(f"what the first failed job said: {where}/{failed[0]['log_stderr']}")
    return "\n".join(lines)


def _count(count: object, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _took(job: Row) -> str:
    return "-" if job["seconds"] is None else duration(_seconds(job["seconds"]))


def _why(job: Row) -> str:
    error = job["error"]
    if isinstance(error, dict):
        return f"{error.get('type')}: {error.get('message')}"
    return "finished before" if job["kept"] else ""


def _seconds(value: object) -> float:
    assert isinstance(value, int | float)
    return float(value)
