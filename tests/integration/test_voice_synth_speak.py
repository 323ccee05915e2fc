"""`voice-synth speak` as the real process with the real engines."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from tests.support.speech import check_files, check_speech, meta_of, result_of, samples_of, speak

EVENING = "Good evening. The old bridge across the river opens again tonight."


@pytest.fixture
def text_file(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(EVENING, encoding="utf-8")
    return path


def test_a_voice_speaks_english_with_the_argv_of_a_manifest(tmp_path, text_file):
    out = tmp_path / "topic" / "beat-001"
    out.mkdir(parents=True)
    staged = out / "text.txt"
    shutil.copy(text_file, staged)
    ended = speak(
        out, "--voice=newsroom", "--language=English", "--profile=balanced", "--variants=1", "--text-file", staged
    )
    assert (ended.code, ended.err) == (0, "")
    result = check_files(out)
    assert result["engine"] == "hibari"
    assert (result["engine_version"], result["model"]) == ("0.2.1", "heart")
    assert (result["degraded"], result["voice"], result["speaker"]) == (False, "newsroom", None)
    assert (result["schema_version"], result["app"], result["language"]) == (1, "voice-synth", "English")
    assert (result["error"], result["files"]["best"], result["selection"]["enabled"]) == (None, None, False)
    seconds = check_speech(out / "take_01.wav", 3.0, 6.5)
    assert result["audio_seconds"] == result["files"]["takes"][0]["seconds"] == pytest.approx(seconds, abs=1e-3)
    assert 0 < result["timings"]["load_seconds"] < result["timings"]["total_seconds"]
    assert staged.read_text(encoding="utf-8") == EVENING


@pytest.mark.parametrize("way", ["library", *(["binary"] if shutil.which("espeak-ng") else [])])
def test_espeak_speaks_french_as_a_program_and_as_a_library(tmp_path, way):
    out = tmp_path / way
    text = "Bonsoir. Ce soir, après neuf ans de travaux, le vieux pont rouvre enfin."
    assert speak(out, "--speaker=ryan", "--language=fr", f"--text={text}", VOICE_SYNTH_ESPEAK=way).code == 0
    result = check_files(out)
    assert (result["engine"], result["model"], result["language"]) == ("espeak", "fr+m2", "French")
    assert (result["speaker"], result["degraded"]) == ("Ryan", True)
    assert result["engine_version"][0].isdigit()
    check_speech(out / "take_01.wav", 2.8, 7.0)
    assert ("program" if way == "binary" else "library") in meta_of(out)["engine_found"]


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("German", "Guten Abend, die alte Brücke wird heute nach neun Jahren wieder geöffnet."),
        ("Auto", "Добрый вечер. Старый мост снова открывается сегодня после девяти лет ремонта."),
        ("zh", "晚上好。经过九年的维修，老桥今晚重新开放。"),
        ("JAPANESE", "こんばんは。ふるいはしは、こんやひらきます。"),
        ("ko", "안녕하세요. 강을 건너는 오래된 다리가 오늘 밤 다시 열립니다."),
    ],
)
def test_other_languages_are_real_speech_too(tmp_path, language, text):
    assert speak(tmp_path / "o", "--speaker=Serena", f"--language={language}", f"--text={text}").code == 0
    assert check_files(tmp_path / "o")["engine"] == "espeak"
    check_speech(tmp_path / "o" / "take_01.wav", 2.0, 9.0)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_ones(tmp_path, text_file):
    def hashes(name: str, seed: int, engine: str) -> list[str]:
        options = ["--voice=storyteller", "--variants=2", f"--seed={seed}", f"--engine={engine}"]
        assert speak(tmp_path / name, *options, "--text-file", text_file).code == 0
        result = check_files(tmp_path / name)
        assert [take["seed"] for take in result["files"]["takes"]] == [seed, seed + 1]
        return [take["sha256"] for take in result["files"]["takes"]]

    for engine in ("hibari", "espeak"):
        first = hashes(f"{engine}-a", 7, engine)
        assert first == hashes(f"{engine}-b", 7, engine)
        other = hashes(f"{engine}-c", 8, engine)
        assert first[1] == other[0]
        assert len({*first, *other}) == 3


def test_takes_differ_and_the_best_one_is_copied_with_the_reason(tmp_path, text_file):
    out = tmp_path / "o"
    assert speak(out, "--voice=newsroom", "--variants=4", "--select-best", "--text-file", text_file).code == 0
    result = check_files(out)
    takes = [samples_of(out / f"take_0{number}.wav") for number in (1, 2, 3, 4)]
    assert len({take.tobytes() for take in takes}) == 4
    chosen = result["selection"]["take"]
    assert result["selection"]["enabled"]
    assert f"take {chosen}" in result["selection"]["why"]
    assert (out / "best.wav").read_bytes() == (out / f"take_0{chosen}.wav").read_bytes()
    assert result["audio_seconds"] == result["files"]["best"]["seconds"]
    meta = meta_of(out)
    assert meta["selection"]["asr"] == "none"
    assert [take["failed_gates"] for take in meta["takes"]] == [[], [], [], []]
    assert len({(take["speed"], take["pitch"]) for take in meta["takes"]}) == 4


def test_a_long_text_in_pieces_keeps_its_pauses(tmp_path):
    text = (
        "The lamps were lit at dusk. Nobody spoke.\n\nThen the first child ran across.\n\n* * *\n\nEveryone followed."
    )
    assert speak(tmp_path / "o", "--speaker=Aiden", "--chunk", f"--text={text}").code == 0
    check_speech(tmp_path / "o" / "take_01.wav", 5.0, 11.0)
    meta = meta_of(tmp_path / "o")
    assert [piece["text"][:9] for piece in meta["pieces"]] == ["The lamps", "Then the ", "* * *", "Everyone "]
    samples = samples_of(tmp_path / "o" / "take_01.wav")
    quiet = np.convolve(np.abs(samples) < 1e-3, np.ones(12000), "valid") >= 12000
    assert quiet.any(), "there is no pause of half a second between the paragraphs"


def test_options_of_the_gpu_engine_are_recorded_and_do_no_harm(tmp_path):
    options = {
        "--tone": "warm",
        "--instruct": "-softly",
        "--instruct-style": "calm",
        "--temperature": "0.8",
        "--top-p": "0.9",
        "--repetition-penalty": "1.1",
        "--max-new-tokens": "900",
    }
    words = [f"{name}={value}" for name, value in options.items()]
    assert speak(tmp_path / "o", "--speaker=Dylan", "--engine=espeak", "--text=Good evening to you.", *words).code == 0
    meta = meta_of(tmp_path / "o")
    assert meta["ignored_options"] == {
        "tone": "warm",
        "instruct": "-softly",
        "instruct_style": "calm",
        "temperature": 0.8,
        "top_p": 0.9,
        "repetition_penalty": 1.1,
        "max_new_tokens": 900,
    }
    assert any("espeak ignores tone" in warning for warning in meta["warnings"])


def test_profiles_and_speakers_sound_different(tmp_path):
    def heard(*words: str) -> bytes:
        out = tmp_path / "-".join(words)
        assert speak(out, "--engine=espeak", "--language=it", "--text=Buonasera a tutti voi.", *words).code == 0
        return samples_of(out / "take_01.wav").tobytes()

    profiles = {heard("--speaker=Eric", f"--profile={name}") for name in ("stable", "balanced", "expressive")}
    speakers = {heard(f"--speaker={name}") for name in ("Vivian", "Uncle_Fu", "Ono_Anna")}
    assert len(profiles) == len(speakers) == 3


def test_a_second_run_replaces_the_first_whole(tmp_path):
    out = tmp_path / "o"
    first = ["--voice=newsroom", "--engine=espeak", "--variants=3", "--select-best", "--text=The first text of all."]
    assert speak(out, *first).code == 0
    assert len(check_files(out)["files"]["takes"]) == 3
    assert speak(out, "--voice=newsroom", "--engine=espeak", "--text=Another one.").code == 0
    assert len(check_files(out)["files"]["takes"]) == 1
    assert (out / "text.txt").read_text(encoding="utf-8") == "Another one."


def test_a_failed_second_run_leaves_the_audio_and_says_failed(tmp_path):
    out = tmp_path / "o"
    assert speak(out, "--voice=newsroom", "--engine=espeak", "--text=The first text of all.").code == 0
    take = (out / "take_01.wav").read_bytes()
    assert speak(out, "--voice=newsroom", "--engine=espeak", "--text=---!").code == 2
    assert result_of(out)["status"] == "failed"
    assert (out / "take_01.wav").read_bytes() == take


def test_a_text_keeps_its_exact_bytes(tmp_path):
    raw = b"\xef\xbb\xbfGood\x00 evening.\r\n  And [[goodbye]].\n\n"
    (tmp_path / "t.txt").write_bytes(raw)
    assert speak(tmp_path / "o", "--voice=newsroom", "--engine=espeak", "--text-file", tmp_path / "t.txt").code == 0
    assert (tmp_path / "o" / "text.txt").read_bytes() == raw
    check_speech(tmp_path / "o" / "take_01.wav", 1.0, 5.0)
