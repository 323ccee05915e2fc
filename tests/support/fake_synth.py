"""A stand-in for voice-synth that does what its text tells it to, so that tests can see an executor meet every end.

The first word of the text decides: ok, permanent, transient, exit, signal, hang, stubborn, noise, lie, link, torn,
orphan or escape (leaves a process of another group behind that talks on and on).
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path


def main() -> int:
    words = sys.argv[1:]
    text_file, out, result = (
        Path(words[words.index(name) + 1]) for name in ("--text-file", "--out-exact", "--json-result")
    )
    deed = text_file.read_text().split()[0]
    with Path("calls.txt").open("a") as calls:  # every process that ran, and in what order
        calls.write(f"{out} {os.getpid()}\n")
    print(f"speaking {out}", flush=True)
    if deed in ("hang", "stubborn", "orphan"):
        return wait_for_ever(deed)
    if deed == "noise":
        sys.stdout.buffer.write(b"\xff\xfe noise \x1b[31m" * 200_000)
        deed = "ok"
    if deed == "escape":
        talk = "import os, signal\ntry:\n  while True: os.write(1, bytes(65536))\nexcept OSError: signal.pause()"
        talker = subprocess.Popen([sys.executable, "-S", "-c", talk, "--json-result"], start_new_session=True)
        Path("escaped.txt").write_text(str(talker.pid))
        deed = "ok"
    if deed == "exit":
        return 1
    if deed == "signal":
        os.kill(os.getpid(), signal.SIGKILL)
    if deed in ("permanent", "transient"):
        write(result, {"status": "failed", "files": None, "error": {"type": "bad", "class": deed, "message": "no"}})
        return 2 if deed == "permanent" else 4
    (out / "take_01.wav").write_bytes(b"RIFF" + text_file.read_bytes())
    (out / "takes.meta.json").write_text("{}")
    takes = [facts(out / "take_01.wav")]
    if deed == "lie":
        takes[0]["sha256"] = "0" * 64
    if deed == "link":
        (out / "take_01.wav").rename(out / "elsewhere")
        (out / "take_01.wav").symlink_to("elsewhere")
    files = {"text": facts(text_file), "meta": facts(out / "takes.meta.json"), "takes": takes, "best": None}
    write(result, {"status": "done", "files": files, "timings": {"total_seconds": 1.5}, "error": None})
    if deed == "torn":
        result.write_text('{"schema_version":1,"status":"do')
    return 0


def wait_for_ever(deed: str) -> int:
    if deed == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if deed == "orphan":
        child = subprocess.Popen([sys.executable, "-S", "-c", "import signal; signal.pause()", "--json-result"])
        Path("orphan.txt").write_text(str(child.pid))
    Path("ready.aside").write_text(str(os.getpid()))
    Path("ready.aside").rename("ready.txt")  # whoever sees it can read it
    threading.Event().wait()
    return 0


def facts(path: Path) -> dict[str, object]:
    data = path.read_bytes()
    return {"path": path.name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest(), "seconds": 1.0, "seed": 0}


def write(path: Path, content: dict[str, object]) -> None:
    path.write_text(json.dumps({"schema_version": 1, "app": "voice-synth", **content}))


if __name__ == "__main__":
    sys.exit(main())
