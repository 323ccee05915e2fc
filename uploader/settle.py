"""Ends the uploads that were tried: records the stored, puts the damaged back, fails the refused.

The order is the promise: files, then the topic's summary, then the record, and only then the spool folder goes.
A settling that Redis does not answer is asked for again, with the same words.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import Any

from lib.jobqueue.look import Look
from lib.jobqueue.records import done_record, failed_record
from lib.jobqueue.retries import MAX_LOSSES
from lib.jobqueue.store import Holder, JobStore, Requeue
from uploader.checks import Checks
from uploader.lease import Leases
from uploader.observe import Observer
from uploader.spool_files import SpoolFiles
from uploader.topic import Topics
from uploader.work import Damaged, Refused, Stored, Work

logger = logging.getLogger(__name__)


class Settler:
    """The moves that take uploads off the stream. `topics`: the disk sink's summaries, else None."""

    def __init__(
        self,
        store: JobStore,
        spool_name: str,
        spool: SpoolFiles,
        leases: Leases,
        checks: Checks,
        topics: Topics | None,
        observer: Observer,
    ) -> None:
        self._store = store
        self._look = Look(store)
        self._spool_name = spool_name
        self._spool = spool
        self._leases = leases
        self._checks = checks
        self._topics = topics
        self._observer = observer

    def complete(self, works: Sequence[Work]) -> None:
        """Record stored uploads.

        Raises:
            QueueUnavailable, QueueFull: ask again; StorageUnavailable, StoreClosed: the summary cannot be written.
        """
        records = [self._record(work) for work in works]
        if self._topics is not None:
            self._topics.put(records)
        by_token: dict[str, list[Work]] = {}
        for work in works:
            by_token.setdefault(work.token, []).append(work)
        for token, group in by_token.items():
            answers = self._store.complete(
                self._spool_name, token, [(work.request_id, work.entry, work.record or "") for work in group]
            )
            self._after_complete(group, answers)

    def _record(self, work: Work) -> dict[str, Any]:
        """A stored job's record; made once, so that a repeated settling says the same."""
        if work.record is not None:
            known: dict[str, Any] = json.loads(work.record)
            return known
        assert isinstance(work.outcome, Stored)
        payload = {**work.claim.message.payload, "request_id": work.request_id}
        for name in ("result", "timings"):
            if not isinstance(payload.get(name), dict):
                payload[name] = None
        now = self._leases.redis_seconds()
        record = done_record(work.claim.row, payload, work.outcome.outputs, completed_at=now)
        work.record = json.dumps(record)
        return record

    def _after_complete(self, works: Sequence[Work], answers: Sequence[bool]) -> None:
        stale: dict[str, str] = {}
        for work, accepted in zip(works, answers, strict=True):
            assert work.plan is not None
            if accepted:
                queued_ms = work.claim.row.get("queued_ms")
                age = self._leases.redis_seconds() - float(queued_ms) / 1000 if queued_ms else None
                self._observer.settled("done", work.request_id, age_seconds=age)
                self._checks.settled(work.plan)
            else:
                # Its spool folder stays: whoever holds the upload now may need it, and else the sweep takes it.
                self._observer.settled("stale", work.request_id, "another holds this upload, or it was cancelled")
                stale[work.request_id] = work.plan.output_name
        if stale and self._topics is not None:
            found = self._look.results(list(stale))
            pairs = zip(stale.items(), found, strict=True)
            self._topics.correct({request_id: (name, record) for (request_id, name), record in pairs})

    def put_back(self, work: Work, outcome: Damaged) -> None:
        """Have a job made again, free of charge; beyond the bound of losses it fails."""
        losses = int(work.claim.row.get("lost") or 0)
        if losses >= MAX_LOSSES:
            self._fail(work, "infra_exhausted", f"lost {losses} times, at last: {outcome.reason}")
            return
        holder = Holder("upload", work.token, self._spool_name)
        move = Requeue(work.request_id, work.entry, "spool_damaged", losses=1)
        if self._store.requeue(holder, [move])[0]:
            self._observer.settled("requeued", work.request_id, outcome.reason)
            self._remove(work)
        elif self._still_ours(work):
            # Its spec is lost as well, so that it cannot be made again: it must not hang here for ever.
            self._fail(work, "spool_damaged", f"{outcome.reason}; and its spec is lost, so it cannot be made again")
        else:
            self._observer.settled("stale", work.request_id, outcome.reason)

    def refuse(self, work: Work, outcome: Refused) -> None:
        """Fail a job whose files the store will never take."""
        self._fail(work, outcome.error.error_type, str(outcome.error))

    def _fail(self, work: Work, error_type: str, error: str) -> None:
        row, spec = work.claim.row, self._look.spec(work.request_id)
        record = failed_record(
            work.request_id,
            error_type=error_type,
            stage="uploading",
            error=error,
            attempt=int(row.get("attempt") or 0) + 1,
            failed_at=self._leases.redis_seconds(),
            job=_spec(spec),
            run_id=_text(work.claim.message.payload.get("run_id")),
        )
        holder = Holder("upload", work.token, self._spool_name)
        answer = self._store.fail(holder, [(work.request_id, work.entry, json.dumps(record), error_type)])
        self._observer.settled("failed" if answer[0] else "stale", work.request_id, error)
        if answer[0]:
            self._remove(work)

    def _still_ours(self, work: Work) -> bool:
        row = self._look.row(work.request_id) or {}
        return (row.get("state"), row.get("stage"), row.get("token")) == ("uploading", work.entry, work.token)

    def _remove(self, work: Work) -> None:
        if work.plan is not None:
            self._spool.remove(work.plan.folder)


def _spec(text: str | None) -> object:
    try:
        return json.loads(text) if text is not None else None
    except ValueError:
        return text


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
