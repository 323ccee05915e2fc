"""Writing the fates of jobs into the queue: one call for each kind. Decides nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping

from lib.jobqueue.look import Look
from lib.jobqueue.messages import ClaimedJob
from lib.jobqueue.records import failed_record
from lib.jobqueue.store import Holder, JobStore, Requeue
from provisioner.decide import Fail, Fate, Later, PutBack
from provisioner.lease import Lease
from provisioner.prepare import original


def holder(lease: Lease) -> Holder:
    """Return who we are to the queue while we hold a batch."""
    return Holder("batch", lease.token)


def write_fates(
    store: JobStore,
    look: Look,
    lease: Lease,
    jobs: Mapping[str, ClaimedJob],
    fates: Mapping[str, Fate],
    *,
    run_id: str | None,
) -> dict[str, bool]:
    """Write them; return for each job whether it was still ours."""
    us, batch_id = holder(lease), lease.batch_id
    answers: dict[str, bool] = {}
    fails = {one: fate for one, fate in fates.items() if isinstance(fate, Fail)}
    if fails:
        now = look.now_unix()
        rows = [(one, batch_id, _record(jobs[one], fate, now, run_id), fate.error_type) for one, fate in fails.items()]
        answers |= zip(fails, store.fail(us, rows), strict=True)
    later = {one: fate for one, fate in fates.items() if isinstance(fate, Later)}
    if later:
        delays = [(one, batch_id, int(fate.delay_seconds * 1000), fate.error_type) for one, fate in later.items()]
        answers |= zip(later, store.retry_later(us, delays), strict=True)
    back = {one: fate for one, fate in fates.items() if isinstance(fate, PutBack)}
    if back:
        moves = [
            Requeue(one, batch_id, fate.reason, losses=fate.losses, crashes=fate.crashes, alone=fate.alone)
            for one, fate in back.items()
        ]
        answers |= zip(back, store.requeue(us, moves), strict=True)
    return answers


def _record(job: ClaimedJob, fate: Fail, now_unix: float, run_id: str | None) -> str:
    return json.dumps(
        failed_record(
            job.request_id,
            error_type=fate.error_type,
            stage="speech",
            error=fate.message,
            attempt=job.attempt + 1,
            failed_at=now_unix,
            job=original(job),
            run_id=run_id,
        )
    )
