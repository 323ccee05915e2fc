"""What voice-synth refuses: exit code, message and result file, through the real process."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.support.speech import COMMAND, Ended, environment, result_of, speak, voice_synth
from tests.support.wait import wait_until


def check_failed(out, ended: Ended, code: int, error_type: str, error_class: str, message: str) -> None:
    assert ended.code == code, ended.err
    result = result_of(out)
    assert (result["status"], result["exit_code"], result["files"]) == ("failed", code, None)
    assert (result["schema_version"], result["app"]) == (1, "voice-synth")
    assert (result["error"]["type"], result["error"]["class"]) == (error_type, error_class)
    assert message in result["error"]["message"]
    assert message in ended.err
    assert "Traceback" not in ended.err
    assert [path.name for path in out.iterdir()] == ["result.json"], "a refused job must leave no other file"


@pytest.mark.parametrize(
    ("words", "code", "error_type", "message"),
    [
        (["--voice=newsrom", "--text=Hi."], 3, "unknown_voice", "did you mean 'newsroom'?"),
        (["--speaker=Rian", "--text=Hi."], 3, "unknown_speaker", "did you mean Ryan?"),
        (["--voice=../voices/newsroom", "--text=Hi."], 2, "invalid_input", "is not a voice's name"),
        (["--voice=newsroom", "--text=---!"], 2, "unspeakable_text", "no letter and no digit"),
        (["--voice=newsroom", "--language=en", "--text=你好"], 2, "unspeakable_text", "Chinese characters"),
        (["--voice=newsroom", "--language=Klingon", "--text=Hi."], 2, "invalid_input", "Portuguese (pt)"),
        (["--voice=newsroom", "--engine=hibari", "--language=fr", "--text=Hi."], 2, "unsupported_language", "English"),
        (["--text=Hi."], 2, "invalid_input", "exactly one of --voice and --speaker"),
        (["--voice=newsroom"], 2, "invalid_input", "exactly one of --text and --text-file"),
        (["--voice=newsroom", "--text=Hi.", "--variants=0"], 2, "invalid_input", "--variants must be"),
        (["--voise=newsroom", "--text=Hi."], 2, "invalid_input", "unknown option --voise: did you mean --voice?"),
        (["--voice=newsroom", "--text"], 2, "invalid_input", "--text: expected one argument"),
        (["--voice=newsroom", "--text-file", "/nowhere/t.txt"], 2, "invalid_input", "cannot read the text file"),
        (["--voice=newsroom", "--text-file", "/"], 2, "invalid_input", "cannot read the text file"),
    ],
)
def test_a_wrong_job_is_permanent_and_writes_nothing_but_why(tmp_path, words, code, error_type, message):
    out = tmp_path / "o"
    check_failed(out, speak(out, *words), code, error_type, "permanent", message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n \t\n", "is empty"),
        ("Grüße".encode("latin-1"), "is not UTF-8: byte 2"),
        (b"word " * 300_000, "larger than 1048576 bytes"),
    ],
)
def test_a_bad_text_file_is_permanent(tmp_path, content, message):
    (tmp_path / "t.txt").write_bytes(content)
    ended = speak(tmp_path / "o", "--voice=newsroom", "--text-file", tmp_path / "t.txt")
    check_failed(tmp_path / "o", ended, 2, "invalid_input", "permanent", message)


def test_a_broken_voice_file_is_permanent_and_named(tmp_path):
    folder = tmp_path / "cache" / "voices" / "anna"
    folder.mkdir(parents=True)
    (folder / "voice.json").write_text('{"voice_version": 1, "name": "A", "embedded": {"speed": 7}}', encoding="utf-8")
    ended = speak(tmp_path / "o", "--voice=anna", "--text=Hi.", "--cache", tmp_path / "cache")
    check_failed(tmp_path / "o", ended, 2, "bad_voice", "permanent", "embedded.speed must be a number")


def test_a_missing_engine_is_transient_because_another_machine_may_have_it(tmp_path):
    ended = speak(tmp_path / "q", "--voice=newsroom", "--engine=qwen", "--text=Hi.")
    check_failed(tmp_path / "q", ended, 4, "engine_missing", "transient", "'qwen' is not installed")
    no_binary = {"VOICE_SYNTH_ESPEAK": "binary", "PATH": str(tmp_path)}
    ended = speak(tmp_path / "e", "--voice=newsroom", "--language=fr", "--text=Bonsoir.", **no_binary)
    check_failed(tmp_path / "e", ended, 4, "engine_missing", "transient", "no engine for French")


def run_changed(change: str, *words: str) -> Ended:
    """Run voice-synth after a change to its interpreter."""
    program = f"import sys; {change}; from synth.cli import main; sys.exit(main())"
    return voice_synth(*words, command=(sys.executable, "-P", "-c", program))


def test_without_hibari_english_is_spoken_by_espeak_and_said_so(tmp_path):
    words = ["speak", "--voice=newsroom", "--text=Good evening.", "--out-exact", str(tmp_path / "o")]
    assert run_changed("sys.modules['hibari'] = None", *words).code == 0
    meta = json.loads((tmp_path / "o" / "takes.meta.json").read_text(encoding="utf-8"))
    assert meta["engine"] == "espeak"
    assert "hibari is not installed, so espeak speaks English" in meta["warnings"]


def test_an_espeak_that_crashes_is_transient(tmp_path):
    program = tmp_path / "espeak-ng"
    program.write_text("#!/bin/sh\necho oops >&2\nexit 7\n", encoding="utf-8")
    program.chmod(0o755)
    ended = speak(
        tmp_path / "o", "--speaker=Eric", "--language=fr", "--text=Bonsoir.", PATH=f"{tmp_path}:/usr/bin:/bin"
    )
    check_failed(tmp_path / "o", ended, 4, "engine_failed", "transient", "ended with status 7: oops")


def test_an_engine_that_makes_no_sound_is_permanent(tmp_path):
    program = tmp_path / "espeak-ng"
    program.write_text("#!/bin/sh\ncat > /dev/null\n", encoding="utf-8")
    program.chmod(0o755)
    ended = speak(
        tmp_path / "o", "--speaker=Eric", "--language=fr", "--text=Bonsoir.", PATH=f"{tmp_path}:/usr/bin:/bin"
    )
    check_failed(tmp_path / "o", ended, 2, "unspeakable_text", "permanent", "made no sound")


def test_a_folder_that_cannot_be_written_is_exit_1_with_a_result(tmp_path):
    (tmp_path / "file").write_text("x", encoding="utf-8")
    result = tmp_path / "r.json"
    words = ["--out-exact", tmp_path / "file" / "o", "--json-result", result]
    ended = voice_synth("speak", "--voice=newsroom", "--text=Hi.", *words)
    assert ended.code == 1
    error = json.loads(result.read_text(encoding="utf-8"))["error"]
    assert (error["type"], error["class"]) == ("output_unwritable", "transient")


def test_a_result_that_cannot_be_written_is_exit_1(tmp_path):
    (tmp_path / "file").write_text("x", encoding="utf-8")
    words = ["--out-exact", tmp_path / "o", "--json-result", tmp_path / "file" / "r.json"]
    ended = voice_synth("speak", "--voice=newsroom", "--engine=espeak", "--text=Good evening.", *words)
    assert ended.code == 1
    assert "cannot write" in ended.err


def test_a_full_disk_leaves_nothing_half_written(tmp_path):
    out = tmp_path / "o"
    limited = ("bash", "-c", 'ulimit -f 40; exec "$@"', "limited", *COMMAND)
    words = [
        "speak",
        "--voice=newsroom",
        "--engine=espeak",
        "--text=The old bridge opens again tonight.",
        "--out-exact",
        out,
    ]
    ended = voice_synth(*words, "--json-result", out / "result.json", command=limited)
    check_failed(out, ended, 1, "disk_full", "transient", "no room to write")


def test_a_bug_is_a_traceback_and_a_transient_result(tmp_path):
    words = ["speak", "--voice=newsroom", "--text=Hi.", "--out-exact", str(tmp_path / "o")]
    result = tmp_path / "r.json"
    ended = run_changed("import synth.speak; synth.speak.plan = None", *words, "--json-result", str(result))
    assert ended.code == 1
    assert "Traceback" in ended.err
    error = json.loads(result.read_text(encoding="utf-8"))["error"]
    assert (error["type"], error["class"]) == ("internal_error", "transient")
    assert not (tmp_path / "o").exists()


def test_sigterm_leaves_no_file_and_no_result(tmp_path):
    out = tmp_path / "o"
    words = ["speak", "--voice=newsroom", "--engine=espeak", "--variants=999", "--text=Good evening to all of you."]
    paths = ["--out-exact", str(out), "--json-result", str(out / "result.json")]
    process = subprocess.Popen([*COMMAND, *words, *paths], env=environment(), stderr=subprocess.PIPE)
    try:
        wait_until(lambda: list(out.glob(".voice-synth-*.tmp/take_02.wav")), what="a take aside")
        assert [path.name for path in out.iterdir() if not path.name.startswith(".")] == []
        process.terminate()
        _, said = process.communicate(timeout=10)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, said) == (143, b"")
    assert list(out.iterdir()) == []


def test_what_a_killed_run_left_aside_is_swept_by_the_next(tmp_path):
    out = tmp_path / "o"
    words = ["--voice=newsroom", "--engine=espeak", "--text=Good evening to all of you.", "--out-exact", str(out)]
    process = subprocess.Popen([*COMMAND, "speak", *words, "--variants=999"], env=environment())
    wait_until(lambda: list(out.glob(".voice-synth-*.tmp/take_02.wav")), what="a take aside")
    process.kill()
    process.wait()
    assert [path.name for path in out.iterdir()] == [f".voice-synth-{process.pid}.tmp"]
    assert voice_synth("speak", *words).code == 0
    assert sorted(path.name for path in out.iterdir()) == ["take_01.wav", "takes.meta.json", "text.txt"]


def test_a_wrong_job_imports_nothing_heavy_and_costs_little(tmp_path):
    program = (
        "import os, sys; from synth.cli import main; code = main(); times = os.times();"
        "heavy = {'numpy', 'onnxruntime', 'hibari', 'dataclasses', 'inspect', 'subprocess', 'yaml'} & set(sys.modules);"
        "print(code, sorted(heavy), times.user + times.system)"
    )
    words = ["speak", "--voice=nobody", "--language=en", "--text=Hi.", "--out-exact", str(tmp_path / "o")]
    ended = voice_synth(*words, command=(sys.executable, "-P", "-c", program))
    code, heavy, seconds = (
        ended.out.split(" ", 2)[0],
        ended.out.partition("[")[2].partition("]")[0],
        ended.out.split()[-1],
    )
    assert (code, heavy) == ("3", "")
    assert float(seconds) < 0.2
