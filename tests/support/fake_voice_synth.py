"""A stand-in for voice-synth, run through VOICE_SYNTH_BIN: speaks silence at once, or does what its text tells it to.

The first word of the text decides:
ok            a result as it should be (so does any other word)
wait NAME     the same, once the file NAME is in the control folder
die NAME      kills its executor (SIGKILL), unless the file NAME is in the control folder
gone          kills itself
hang          never ends and does not listen to SIGTERM, as little as the process it has started
permanent TYPE, transient TYPE   a failed result
no_result     exits with 1, saying nothing
and to cheat: bad_sha, bad_seconds, bad_size, bad_text, bad_voice, few_takes, no_best, not_audio, float_audio,
              cut_audio, link, folder_link, pipe, outside, huge_listed, nan, no_json
Each call adds a line to calls.txt in the control folder (FAKE_SYNTH_DIR).
"""

import hashlib
import json
import os
import signal
import struct
import sys
import threading
from pathlib import Path

RATE = 8000
SECONDS = 0.25
LIES = {"bad_sha": {"sha256": "0" * 64}, "bad_size": {"size": 4045}, "huge_listed": {"size": 10**15}}


def main() -> int:
    words = sys.argv[1:]
    if words == ["--version"]:
        print("voice-synth fake")
        return 0
    control = Path(os.environ["FAKE_SYNTH_DIR"])
    text_file, out, result = (
        Path(words[words.index(name) + 1]) for name in ("--text-file", "--out-exact", "--json-result")
    )
    valued = dict(word[2:].split("=", 1) for word in words if word.startswith("--") and "=" in word)
    deed, _, rest = text_file.read_text(encoding="utf-8").partition(" ")
    name = rest.split()[0] if rest.split() else ""
    with (control / "calls.txt").open("a") as calls:
        calls.write(f"{out} {os.getpid()} {os.getppid()}\n")
    if deed == "wait":
        while not (control / name).exists():
            threading.Event().wait(0.02)
    if deed == "die" and not (control / name).exists():
        os.kill(os.getppid(), signal.SIGKILL)
        threading.Event().wait(30)
    if deed == "gone":
        os.kill(os.getpid(), signal.SIGKILL)
    if deed == "hang":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if os.fork():
            (control / f"hanging-{os.getpid()}").touch()
        threading.Event().wait()
    if deed == "no_result":
        return 1
    if deed in ("permanent", "transient"):
        error = {"type": name, "class": deed, "message": "it \x1b[31mfailed\x00"}
        write(result, {"status": "failed", "files": None, "error": error, "exit_code": 4})
        return 4
    speak(deed, valued, "--select-best" in words, text_file, out, result)
    return 0


def speak(deed: str, valued: dict[str, str], select_best: bool, text_file: Path, out: Path, result: Path) -> None:
    variants = int(valued["variants"]) - (deed == "few_takes")
    audio = {
        "not_audio": b"no audio at all" * 300,
        "float_audio": wav(3, 32),
        "cut_audio": wav()[:-1000],
    }.get(deed, wav())
    (out / "takes.meta.json").write_text("{}")
    takes = []
    for number in range(1, variants + 1):
        (out / f"take_{number:02d}.wav").write_bytes(audio)
        takes.append(facts(out / f"take_{number:02d}.wav"))
    best = None
    if select_best and deed != "no_best":
        (out / "best.wav").write_bytes(audio)
        best = facts(out / "best.wav")
    files = {"text": facts(text_file), "meta": facts(out / "takes.meta.json"), "takes": takes, "best": best}
    content = {
        "status": "done",
        "engine": "fake",
        "voice": valued.get("voice"),
        "speaker": valued.get("speaker"),
        "audio_seconds": SECONDS,
        "files": files,
        "selection": {"enabled": select_best, "take": 1 if select_best else None, "why": "the \x1bonly one"},
        "timings": {"total_seconds": 0.01},
        "error": None,
    }
    cheat(deed, content, out, text_file)
    if deed == "no_json":
        result.write_text("{" * 10)
    else:
        write(result, content)


def cheat(deed: str, content: dict, out: Path, text_file: Path) -> None:
    take = content["files"]["takes"][0] if content["files"]["takes"] else {}
    control = Path(os.environ["FAKE_SYNTH_DIR"])
    if deed in LIES:
        take.update(LIES[deed])
    elif deed == "bad_seconds":
        content["audio_seconds"] = 9.5
        for one in [*content["files"]["takes"], content["files"]["best"] or {}]:
            one["seconds"] = 9.5
    elif deed == "bad_text":
        text_file.write_text("Something else was spoken.")
        content["files"]["text"] = facts(text_file)
    elif deed == "bad_voice":
        content["voice"] = "another"
    elif deed == "nan":
        content["audio_seconds"] = float("nan")
    elif deed == "outside":
        (control / "take_01.wav").write_bytes(wav())
        take["path"] = os.path.relpath(control / "take_01.wav", out)
    elif deed == "link":
        (out / "take_01.wav").rename(control / "elsewhere.wav")
        (out / "take_01.wav").symlink_to(control / "elsewhere.wav")
    elif deed == "pipe":
        (out / "take_01.wav").unlink()
        os.mkfifo(out / "take_01.wav")
    elif deed == "folder_link":
        out.rename(control / "elsewhere")
        out.symlink_to(control / "elsewhere", target_is_directory=True)


def wav(code: int = 1, bits: int = 16) -> bytes:
    block = bits // 8
    data = bytes(int(RATE * SECONDS) * block)
    head = struct.pack("<HHIIHH", code, 1, RATE, RATE * block, block, bits)
    return (
        b"RIFF"
        + struct.pack("<I", 36 + len(data))
        + b"WAVEfmt \x10\0\0\0"
        + head
        + b"data"
        + struct.pack("<I", len(data))
        + data
    )


def facts(path: Path) -> dict[str, object]:
    data = path.read_bytes()
    size = {"path": path.name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    return {**size, "seconds": SECONDS, "seed": 0} if path.suffix == ".wav" else size


def write(path: Path, content: dict) -> None:
    aside = path.with_name(".aside")
    aside.write_text(json.dumps({"schema_version": 1, "app": "voice-synth", **content}))
    aside.replace(path)


if __name__ == "__main__":
    sys.exit(main())
