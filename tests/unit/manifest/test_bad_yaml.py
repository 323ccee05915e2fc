"""What bad YAML gets: one clear message each, with file, line, row and field; all faults of a file at once."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from lib.errors import InputError
from lib.manifest import tree
from lib.manifest.jobs import load_jobs
from lib.manifest.source import MAX_FILE_BYTES


def problems(folder: Path, text: str | bytes) -> list[str]:
    """Return the problems of a file, each without the folder's name before it."""
    path = folder / "jobs.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(InputError) as caught:
        load_jobs(path)
    assert all(str(path) in problem for problem in caught.value.problems)
    return [problem.replace(f"{folder}/", "") for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "jobs.yaml: is empty; write at least one job"),
        ("# nothing\n", "jobs.yaml: is empty; write at least one job"),
        ("---\n...\n", "jobs.yaml:1: is empty; write at least one job"),
        ("{}", "jobs.yaml:1: is empty; write at least one job"),
        ("just words", "jobs.yaml:1: the root is the text 'just words'; write jobs: [...], a list of jobs, or one job"),
        ("5", "jobs.yaml:1: the root is the number 5"),
        ("[]", "jobs.yaml:1: jobs: holds no job; write at least one"),
        ("jobs: []", "jobs.yaml:1: jobs: holds no job; write at least one"),
        ("defaults: {}\njobs:\n", "jobs.yaml:2: jobs: is empty"),
        ("jobs: {a: 1}", "jobs.yaml:1: jobs: must be a list, not a mapping"),
        ("defaults: {voice: v}", "jobs.yaml:1: there are defaults but no jobs"),
        (
            "defaults: []\njobs: [{output_name: a, voice: v, text: t}]",
            "jobs.yaml:1: defaults: must be a mapping, not a list",
        ),
        ("jobs:\n- 5", "jobs.yaml:2: jobs[0]: must be a mapping of fields, not the number 5"),
        (
            "defualts: {}\njobs: [{output_name: a, voice: v, text: t}]",
            "jobs.yaml:1: defualts: unknown field; did you mean defaults?",
        ),
        ("a: [1, 2\nb: 3", "jobs.yaml:2:2: not valid YAML: while parsing a flow sequence"),
        ("a: b: c", "jobs.yaml:1:5: not valid YAML: mapping values are not allowed in this context"),
        ("a: *nowhere", "jobs.yaml:1:4: not valid YAML: found undefined alias"),
        ("--- {a: 1}\n--- {b: 2}", "keep one document in a file: remove the line '---'"),
        ("a: !!python/object:os.system x", "jobs.yaml:1: the tag !!python/object:os.system is not allowed"),
        ("a: !mine {b: 1}", "jobs.yaml:1: the tag !mine is not allowed"),
        ("? [a, b]\n: c", "jobs.yaml:1: a key must be text"),
        ("<<: 5\na: b", "jobs.yaml:1: '<<' takes mappings only"),
        ("a: &a [*a]", "jobs.yaml:1: an alias holds itself"),
        ("a: \x07", "jobs.yaml:1: character U+0007 is not allowed in YAML; remove it"),
        ("text: 2026-13-45", "jobs.yaml:1: '2026-13-45' is no timestamp"),
        ("variants: " + "9" * 5000, "is no int"),
        ("a: " + "[" * 200 + "]" * 200, "jobs.yaml:1: nested more than 100 deep"),
        ("[" * 100_000, "not valid YAML: while increasing flow level, exceeded maximum nesting depth"),
    ],
)
def test_what_is_no_file_of_jobs_is_refused(tmp_path: Path, text: str, message: str) -> None:
    assert any(message in problem for problem in problems(tmp_path, text))


def test_every_fault_of_a_file_is_reported_at_once_with_line_row_and_field(tmp_path: Path) -> None:
    text = """\
defaults:
  profil: fast
  top_p: 2
jobs:
  - output_name: ok/one
    voice: newsroom
    text: fine
  - output_name: /abs
    voice: newsroom
    text: "  "
    variants: 2.7
  - output_name: a
    voice: v
    speaker: Ryan
    text: no
    langauge: English
  - output_name: b
    text: on
"""
    assert problems(tmp_path, text) == [
        "jobs.yaml:2: defaults.profil: unknown field; did you mean profile?",
        "jobs.yaml:3: defaults.top_p: is 2; write a number above 0 and at most 1",
        "jobs.yaml:8: jobs[1].output_name: '/abs' is absolute; use a relative name such as topic/beat-001",
        "jobs.yaml:10: jobs[1].text: is blank; write the words to speak",
        "jobs.yaml:11: jobs[1].variants: must be a whole number, not the number 2.7; write one from 1 to 99",
        "jobs.yaml:15: jobs[2].text: must be text, not the boolean false; put it in quotes",
        "jobs.yaml:16: jobs[2].langauge: unknown field; did you mean language?",
        "jobs.yaml:13: jobs[2].voice: both voice and speaker are given; keep one and set the other to null",
        "jobs.yaml:18: jobs[3].text: must be text, not the boolean true; put it in quotes",
        "jobs.yaml:17: jobs[3].voice: neither voice nor speaker is given; give one of them",
    ]


def test_a_fault_in_defaults_is_not_repeated_for_each_job(tmp_path: Path) -> None:
    rows = "".join(f"- {{output_name: o{row}, voice: v, text: t}}\n" for row in range(50))
    assert problems(tmp_path, "defaults: {variants: many}\njobs:\n" + rows) == [
        "jobs.yaml:1: defaults.variants: must be a whole number, not the text 'many'; write one from 1 to 99"
    ]


def test_a_voice_of_the_defaults_beside_a_speaker_says_where_it_comes_from(tmp_path: Path) -> None:
    text = "defaults: {voice: v}\njobs:\n- {output_name: a, speaker: Ryan, text: t}"
    (problem,) = problems(tmp_path, text)
    assert "set the other to null (one comes from defaults)" in problem


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    text = "output_name: a\nvoice: v\ntext: one\ntext: two\n"
    assert problems(tmp_path, text) == ["jobs.yaml:4: the key 'text' stands twice (first in line 3); remove one"]


def test_two_rows_with_one_output_name_are_refused(tmp_path: Path) -> None:
    text = "- {output_name: a, voice: v, text: t}\n- {output_name: a, voice: v, text: u, request_id: other}\n"
    assert problems(tmp_path, text) == [
        "jobs.yaml:2: jobs[1].output_name: 'a' is the output_name of jobs[0] too; give each job its own"
    ]


def test_two_rows_with_one_request_id_are_refused_also_when_it_is_derived(tmp_path: Path) -> None:
    text = "- {output_name: a/b, voice: v, text: t}\n- {output_name: 'a:b', voice: v, text: u}\n"
    assert problems(tmp_path, text) == [
        "jobs.yaml:2: jobs[1].request_id: 'a:b' is the request_id of jobs[0] too; give each job its own"
    ]


def test_a_folder_inside_another_jobs_folder_is_refused(tmp_path: Path) -> None:
    text = "- {output_name: nest/sub/x, voice: v, text: t}\n- {output_name: nest, voice: v, text: u}\n"
    assert problems(tmp_path, text) == [
        "jobs.yaml:1: jobs[0].output_name: 'nest/sub/x' lies inside the folder of jobs[1] ('nest'); choose another"
    ]


def test_names_that_only_begin_alike_are_no_conflict(tmp_path: Path) -> None:
    path = tmp_path / "jobs.yaml"
    path.write_text("- {output_name: nest, voice: v, text: t}\n- {output_name: nest2/x, voice: v, text: u}\n")
    assert len(load_jobs(path)) == 2


def test_callback_data_with_a_date_or_another_key_than_text_is_refused(tmp_path: Path) -> None:
    text = """\
- output_name: a
  voice: v
  text: t
  callback_data:
    when: 2026-01-31
- {output_name: b, voice: v, text: t, callback_data: {1: x}}
- {output_name: c, voice: v, text: t, callback_data: {a: .nan}}
"""
    assert problems(tmp_path, text) == [
        "jobs.yaml:4: jobs[0].callback_data: when: a date is not JSON; put it in quotes",
        "jobs.yaml:6: jobs[1].callback_data: the key 1 is not text; put it in quotes",
        "jobs.yaml:7: jobs[2].callback_data: a: nan is not JSON; write a finite number or null",
    ]


def test_bytes_that_are_not_utf_8_are_refused_with_their_place(tmp_path: Path) -> None:
    assert problems(tmp_path, b"output_name: a\nvoice: v\ntext: caf\xe9\n") == [
        "jobs.yaml:3: byte 33 (0xe9) is not UTF-8; save the file as UTF-8"
    ]


def test_broken_utf_16_is_refused(tmp_path: Path) -> None:
    assert "is not UTF-16; save the file as UTF-8" in problems(tmp_path, b"\xff\xfea")[0]


def test_a_file_of_50_mb_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "jobs.yaml"
    with path.open("wb") as file:
        file.truncate(50 * 1024 * 1024)
    started = time.monotonic()
    with pytest.raises(InputError, match=r"has 52,428,800 bytes, more than the limit of 33,554,432; split the file"):
        load_jobs(path)
    assert time.monotonic() - started < 1


def test_a_bomb_of_aliases_is_refused_quickly(tmp_path: Path) -> None:
    lines = ["x-0: &x0 [" + ",".join(["lol"] * 10) + "]"]
    lines += [f"x-{level}: &x{level} [" + ",".join([f"*x{level - 1}"] * 10) + "]" for level in range(1, 12)]
    lines.append("jobs: [{output_name: a, voice: v, text: t}]")
    started = time.monotonic()
    (problem,) = problems(tmp_path, "\n".join(lines))
    assert "aliases expand to more than" in problem
    assert time.monotonic() - started < 2


def test_a_bomb_of_merge_keys_is_refused_quickly(tmp_path: Path) -> None:
    keys = ",".join(f"k{number}: v" for number in range(10_000))
    text = f"x-a: &a {{{keys}}}\nx-b: [" + ",".join(["{<<: *a}"] * 20_000) + "]\njobs: []"
    started = time.monotonic()
    assert "aliases expand to more than" in problems(tmp_path, text)[0]
    assert time.monotonic() - started < 5


def test_a_text_repeated_by_alias_counts_each_time(tmp_path: Path) -> None:
    long = "x" * 90_000
    text = f"x-t: &t {long}\njobs:\n" + "".join(
        f"- {{output_name: o{row}, voice: v, text: *t}}\n" for row in range(1000)
    )
    assert "aliases expand to more than" in problems(tmp_path, text)[0]


def test_a_hundred_thousand_faults_end_in_a_bounded_report(tmp_path: Path) -> None:
    found = problems(tmp_path, "jobs:\n" + "- {}\n" * 20_000)
    assert len(found) < 1100
    assert found[-1] == "jobs.yaml: more than 1,000 faults; the rest is not shown"


def test_a_file_of_millions_of_tiny_values_is_refused_before_it_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree, "MAX_NODES", 10_000)
    assert "holds more than 10,000 keys and values; split the file" in problems(tmp_path, "- a\n" * 20_000)[0]


def test_a_missing_file_a_folder_and_an_empty_name_are_refused(tmp_path: Path) -> None:
    for name, message in [
        (str(tmp_path / "none.yaml"), "no such file; check the path"),
        (str(tmp_path), "is a folder; name a file in it"),
        ("", "the file name is empty"),
        ("a\0b", "cannot be read"),
        (str(tmp_path / "none" / "x.yaml"), "no such file"),
    ]:
        with pytest.raises(InputError, match=message):
            load_jobs(name)


def test_a_file_that_this_user_may_not_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)  # root may read everything
    with pytest.raises(InputError, match="may not be read by this user; check its permissions"):
        load_jobs("jobs.yaml")


def test_the_size_limit_holds_for_what_has_no_size_beforehand(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"has more than {MAX_FILE_BYTES:,} bytes"):
        load_jobs("/dev/zero")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_named_as_what_it_is(tmp_path: Path, encoding: str) -> None:
    found = problems(tmp_path, "- {output_name: a, voice: v, text: hi}".encode(encoding))
    assert len(found) == 1
    assert "is NUL: this is UTF-16 without a byte-order mark, or no text at all; save the file as UTF-8" in found[0]


def test_a_row_repeated_with_its_derived_request_id_is_one_fault(tmp_path: Path) -> None:
    row = b"- {output_name: a/b, voice: v, text: hi}\n"
    assert problems(tmp_path, row + row) == [
        "jobs.yaml:2: jobs[1].output_name: 'a/b' is the output_name of jobs[0] too; give each job its own"
    ]
