"""What a place for finished audio must be able to do, and how it asks whether it still may. Stores nothing itself."""

from __future__ import annotations

from typing import Any, Protocol

from lib.errors import StorageRefused
from uploader.plan import UploadPlan


class StoreClosed(StorageRefused):
    """The store takes nothing of ours: no such bucket, access denied, a folder that is not ours to write.

    At start it stops the process. Later it is waited out, with its reason visible: an operator has to open it again,
    and no finished audio is thrown away meanwhile.
    """


class Guard(Protocol):
    """The lease on one upload, as a sink sees it."""

    def check(self) -> None:
        """Raise LeaseLost unless the lease is still believed; asked right before each effect."""

    def confirm(self) -> None:
        """Raise LeaseLost unless the queue itself says that the upload is ours."""


class Sink(Protocol):
    """A place for finished audio."""

    checks_later: bool
    """Whether a late write of an older holder can come through, so that stored jobs are looked at once more."""

    def probe(self) -> None:
        """Raise StoreClosed or StorageUnavailable where nothing could be stored now."""

    def store(self, plan: UploadPlan, guard: Guard) -> dict[str, Any]:
        """Store all files of a job and make sure that they are there; returns the record's `outputs`.

        Raises:
            LeaseLost: somebody else has the upload now, or a newer attempt has been stored.
            SpoolDamaged, StorageUnavailable, StorageMismatch, StorageRefused
        """

    def recheck(self, plan: UploadPlan) -> int:
        """Look at a settled job's files again; returns how many had to be put right."""
