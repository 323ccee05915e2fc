"""One upload in this process's hands, and what became of a try at storing it. Pure data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lib.errors import JobRunnerError
from lib.jobqueue.messages import ClaimedUpload
from uploader.plan import UploadPlan


@dataclass(frozen=True, slots=True)
class Stored:
    """All files are in the store."""

    outputs: dict[str, Any]
    seconds: float


@dataclass(frozen=True, slots=True)
class Damaged:
    """The spool does not hold what was handed over: the job is made again."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The store will never take this job's files."""

    error: JobRunnerError


@dataclass(frozen=True, slots=True)
class Again:
    """It may go better later."""

    error: JobRunnerError


@dataclass(frozen=True, slots=True)
class Lost:
    """Another holds the upload now, or our lease was in doubt: no more effects for it."""

    reason: str


Outcome = Stored | Damaged | Refused | Again | Lost


@dataclass(slots=True)
class Work:
    """A claimed upload. `plan` is None where the payload allows none; `due` is monotonic seconds."""

    claim: ClaimedUpload
    token: str
    plan: UploadPlan | None
    outcome: Outcome | None = None
    running: bool = False
    tries: int = 0
    due: float = 0.0
    record: str | None = None  # made once, so that a repeated settling says the same

    @property
    def entry(self) -> str:
        return self.claim.message.entry

    @property
    def request_id(self) -> str:
        return self.claim.message.request_id

    def put_off(self, now: float, longest_seconds: float, chance: float) -> None:
        """Wait before the next try: longer each time, with jitter. `chance` in [0, 1)."""
        wait = min(longest_seconds, 0.5 * 2 ** min(self.tries, 16))
        self.tries += 1
        self.due = now + wait * (0.75 + chance / 2)
