"""The pages about the queue cannot drift from the code: every key, every script, every move."""

from __future__ import annotations

import re
from itertools import dropwhile, takewhile
from pathlib import Path

import lib.jobqueue
from lib.jobqueue.keys import Keys
from lib.jobqueue.states import ALL, FINAL, MOVES

ROOT = Path(lib.jobqueue.__file__).parents[2]
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
STATES = (ROOT / "docs" / "states.md").read_text(encoding="utf-8")
SCRIPTS = {path.stem for path in (ROOT / "lib/jobqueue/lua").glob("*.lua")} - {"_common"}


def rows(page: str, heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its head."""
    lines = iter(f"\n{page}".split(f"\n{heading}\n", 1)[1].splitlines())
    table = takewhile(lambda line: line.startswith("|"), dropwhile(lambda line: not line.startswith("|"), lines))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table][2:]


def test_the_protocol_names_every_key_and_no_other() -> None:
    keys = Keys()
    names = {value for name, value in vars(keys).items() if name != "prefix"}
    names |= {keys.uploads_stream("<spool>"), keys.sweep("<stream>")}
    assert {row[0].strip("`") for row in rows(PROTOCOL, "## Keys")} == names | {"pab:metrics:*"}


def test_every_row_of_a_key_is_filled_in() -> None:
    for key, kind, *rest in rows(PROTOCOL, "## Keys"):
        if key != "`pab:metrics:*`":
            assert all([kind, *rest]), key


def test_the_protocol_names_every_script_and_no_other() -> None:
    named = [row[0].split("`")[1] for row in rows(PROTOCOL, "## Scripts")]
    assert sorted(named) == sorted(SCRIPTS)


def test_the_protocol_says_rightly_which_scripts_take_the_job_keys() -> None:
    names = [row[0].split("`")[1] for row in rows(PROTOCOL, "## Scripts")]
    without = [
        name
        for name in names
        if "KEYS[1..14] the job keys" not in (ROOT / f"lib/jobqueue/lua/{name}.lua").read_text(encoding="utf-8")
    ]
    assert names[-len(without) :] == without
    assert "All but the last seven take" in PROTOCOL
    assert len(without) == 7


def test_the_protocol_names_every_answer_of_every_script() -> None:
    for name, _, _, _, answers in rows(PROTOCOL, "## Scripts"):
        script = name.split("`")[1]
        source = (ROOT / f"lib/jobqueue/lua/{script}.lua").read_text(encoding="utf-8")
        returned = set(re.findall(r"return \{? ?'([a-z_]+)'", source))
        returned |= set(re.findall(r"answer\[#answer \+ 1\] = '([a-z_]+)'", source))
        assert returned <= set(re.findall(r"`([a-z_]+)`", answers)), script


def test_the_protocol_names_every_field_of_a_row() -> None:
    scripts = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "lib/jobqueue/lua").glob("*.lua"))
    written = set(re.findall(r"\brow\.([a-z_]+)(?:, row\.[a-z_]+)* = ", scripts))
    written |= {two for one in re.findall(r"\b(row\.[a-z_]+(?:, row\.[a-z_]+)+) = ", scripts) for two in _fields(one)}
    written -= {"legacy"}  # never stored
    assert "queued_ms" in written
    described = set(re.findall(r"`([a-z_]+)`", " ".join(row[0] for row in rows(PROTOCOL, "### A job's row"))))
    assert written <= described


def _fields(assigned: str) -> list[str]:
    return [one.strip().removeprefix("row.") for one in assigned.split(",")]


def test_the_table_of_moves_is_the_one_in_the_code() -> None:
    table = {}
    for move, start, end in rows(STATES, "## Allowed moves"):
        states = frozenset("" if one == "—" else one for one in start.split(", "))
        table[move.strip("`")] = (states, "" if end == "—" else end)
    assert table == MOVES


def test_every_state_is_described_and_every_move_is_a_script() -> None:
    assert {row[0].strip("`") for row in rows(STATES, "# States of a job")} == ALL
    assert MOVES.keys() <= SCRIPTS


def test_every_outstanding_state_can_end_and_every_ended_job_can_be_forgotten() -> None:
    for state in ALL - FINAL:
        ends = {end for starts, end in MOVES.values() if state in starts}
        assert {"failed", "cancelled"} <= ends
    assert MOVES["flush_hard"][0] == FINAL
