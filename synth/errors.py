"""The errors of voice-synth and their exit codes. The classes are those of lib.errors: transient or permanent."""

from __future__ import annotations

from lib.errors import InputError, JobRunnerError, PermanentError, TransientError

EXIT_OTHER = 1
EXIT_BAD_INPUT = 2
EXIT_UNKNOWN_VOICE = 3
EXIT_ENGINE = 4


class UnsupportedLanguage(PermanentError):
    """No language of that name, or the engine asked for does not speak it."""

    error_type = "unsupported_language"


class UnspeakableText(PermanentError):
    """Nothing in the text can be spoken, or the engine made silence of it."""

    error_type = "unspeakable_text"


class BadVoice(PermanentError):
    """The voice exists, but its voice.json is wrong."""

    error_type = "bad_voice"


class UnknownVoice(PermanentError):
    """No such voice in the voices folder."""

    error_type = "unknown_voice"


class UnknownSpeaker(PermanentError):
    """Not one of the speaker names."""

    error_type = "unknown_speaker"


class EngineMissing(TransientError):
    """This machine lacks the engine; another one may have it."""

    error_type = "engine_missing"


class EngineFailed(TransientError):
    """The engine crashed, hung or ran out of memory."""

    error_type = "engine_failed"


class OutputUnwritable(TransientError):
    """The output folder or the result file cannot be written."""

    error_type = "output_unwritable"


class DiskFull(OutputUnwritable):
    """No room (or no quota) left where the output goes."""

    error_type = "disk_full"


_EXIT_CODES: tuple[tuple[type[JobRunnerError], int], ...] = (
    (InputError, EXIT_BAD_INPUT),
    (UnsupportedLanguage, EXIT_BAD_INPUT),
    (UnspeakableText, EXIT_BAD_INPUT),
    (BadVoice, EXIT_BAD_INPUT),
    (UnknownVoice, EXIT_UNKNOWN_VOICE),
    (UnknownSpeaker, EXIT_UNKNOWN_VOICE),
    (EngineMissing, EXIT_ENGINE),
    (EngineFailed, EXIT_ENGINE),
)


def exit_code(error: BaseException) -> int:
    """Return the documented exit code for an error."""
    return next((code for kind, code in _EXIT_CODES if isinstance(error, kind)), EXIT_OTHER)


def error_record(error: BaseException) -> dict[str, str]:
    """Return the `error` of a failed result: type, class and message. What is no error of ours may pass."""
    if not isinstance(error, JobRunnerError):
        message = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return {"type": "internal_error", "class": "transient", "message": message}
    kind = "permanent" if isinstance(error, PermanentError) else "transient"
    return {"type": error.error_type, "class": kind, "message": str(error)}
