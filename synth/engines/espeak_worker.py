"""Speaks once through libespeak-ng, in a process of its own. Run as a program; imports the standard library only.

argv: the folder with libespeak-ng.so and espeak-ng-data. stdin: JSON with text, voice, rate, pitch, range, or with
`version`. stdout: a WAV (or the version). Any failure is one line on stderr and status 1.
"""

from __future__ import annotations

import ctypes
import json
import struct
import sys

AUDIO_OUTPUT_SYNCHRONOUS = 2
INITIALIZE_DONT_EXIT = 0x8000
CHARS_UTF8 = 1
END_PAUSE = 0x1000
POSITION_CHARACTER = 1
RATE, PITCH, RANGE = 1, 3, 4

_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


def main() -> int:
    """Speak what stdin asks for."""
    folder = sys.argv[1]
    request = json.loads(sys.stdin.buffer.read())
    try:
        output = answer(folder, request)
    except (OSError, RuntimeError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.buffer.write(output)
    sys.stdout.buffer.flush()
    return 0


def answer(folder: str, request: dict[str, object]) -> bytes:
    """Return the version, or the WAV of the text."""
    suffix = "dylib" if sys.platform == "darwin" else "so"
    library = ctypes.CDLL(f"{folder}/libespeak-ng.{suffix}")
    data = f"{folder}/espeak-ng-data".encode()
    rate_hz = library.espeak_Initialize(AUDIO_OUTPUT_SYNCHRONOUS, 0, data, INITIALIZE_DONT_EXIT)
    if rate_hz <= 0:
        raise RuntimeError("espeak_Initialize failed")
    if "version" in request:
        library.espeak_Info.restype = ctypes.c_char_p
        return bytes(library.espeak_Info(None))
    pcm = speak(library, request)
    size = len(pcm)
    head = struct.pack("<4sI4s4sIHHIIHH", b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, 1, 1, rate_hz, rate_hz * 2, 2, 16)
    return head + struct.pack("<4sI", b"data", size) + pcm


def speak(library: ctypes.CDLL, request: dict[str, object]) -> bytes:
    """Return 16-bit samples of the request's text."""
    pieces: list[bytes] = []

    def collect(samples: ctypes._Pointer[ctypes.c_short], count: int, _events: int | None) -> int:
        if samples and count > 0:
            pieces.append(ctypes.string_at(samples, count * 2))
        return 0

    callback = _CALLBACK(collect)
    library.espeak_SetSynthCallback(callback)
    voice = str(request["voice"])
    if library.espeak_SetVoiceByName(voice.encode()) != 0:
        raise RuntimeError(f"no espeak-ng voice {voice}")
    for parameter, name in ((RATE, "rate"), (PITCH, "pitch"), (RANGE, "range")):
        library.espeak_SetParameter(parameter, int(str(request[name])), 0)
    text = str(request["text"]).encode()
    status = library.espeak_Synth(
        text, ctypes.c_size_t(len(text) + 1), 0, POSITION_CHARACTER, 0, CHARS_UTF8 | END_PAUSE, None, None
    )
    if status != 0 or library.espeak_Synchronize() != 0:
        raise RuntimeError(f"espeak_Synth failed with {status}")
    return b"".join(pieces)


if __name__ == "__main__":
    sys.exit(main())
