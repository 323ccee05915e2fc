"""The error tree. Loops catch the three families and nothing else; anything else is a bug and ends the process.

Transient: wait and try again, within a limit. Permanent: fail the job and say why. LeaseLost: stop at once, write
nothing. Adapters turn foreign exceptions into these, so that no caller ever reads a message to learn its class.
"""

from __future__ import annotations


class JobRunnerError(Exception):
    """Base of every error this project raises on purpose. `error_type` is what records and `--json` show."""

    error_type = "error"


class TransientError(JobRunnerError):
    """May pass by itself."""

    error_type = "transient"


class PermanentError(JobRunnerError):
    """Will not pass without a change by somebody."""

    error_type = "permanent"


class LeaseLost(JobRunnerError):
    """Somebody else owns the work now: the holder's token no longer matches."""

    error_type = "lease_lost"


class QueueUnavailable(TransientError):
    """Redis did not answer, dropped the connection, is loading, or is read-only for now."""

    error_type = "queue_unavailable"


class QueueFull(TransientError):
    """Redis is at its memory limit (`maxmemory` with `noeviction`)."""

    error_type = "queue_full"


class QueueRefused(PermanentError):
    """Redis asks for a password, refuses ours, or forbids a command to this user."""

    error_type = "queue_refused"


class QueueCorrupt(PermanentError):
    """A key of ours holds another type than the protocol says."""

    error_type = "queue_corrupt"


class SpoolFull(TransientError):
    """The spool's disk has no room; leasing pauses, nothing is lost."""

    error_type = "spool_full"


class SpoolDamaged(TransientError):
    """A spooled file is missing or differs from its checksum; the job is made again, free of charge."""

    error_type = "spool_damaged"


class StorageUnavailable(TransientError):
    """The artefact store refused, timed out or has no room; storing is retried in its own stage."""

    error_type = "storage_unavailable"


class StorageMismatch(TransientError):
    """What the store says it holds differs from what was sent."""

    error_type = "storage_mismatch"


class StorageRefused(PermanentError):
    """The artefact store will never take this: no such bucket, access denied, a key it forbids."""

    error_type = "storage_refused"


class BoxLost(TransientError):
    """The box is gone; does not count against the job, within a bound of its own."""

    error_type = "box_lost"


class BadArtefact(TransientError):
    """What a box sent back failed a check (missing, wrong checksum, not audio, a path outside)."""

    error_type = "bad_artefact"


class InputError(PermanentError):
    """A file or argument the user gave is wrong. `problems` has one line for each fault found."""

    error_type = "invalid_input"

    def __init__(self, problems: str | list[str]) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))
