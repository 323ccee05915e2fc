"""What a slot hands over to the uploaders with a job's files: the payload of docs/protocol.md. Pure."""

from __future__ import annotations

import json

from lib.jobqueue.messages import ClaimedJob
from lib.jobqueue.spec import JobSpec
from provisioner.box import Box
from provisioner.collect import Collected
from provisioner.follow import Finished


def upload_payload(
    job: ClaimedJob,
    spec: JobSpec,
    collected: Collected,
    ended: Finished,
    *,
    started_at: str | None,
    run_id: str,
    batch_id: str,
    token: str,
    box: Box,
) -> str:
    """Return the payload as JSON."""
    return json.dumps(
        {
            "v": 1,
            "request_id": job.request_id,
            "content_hash": spec["content_hash"],
            "output_name": spec["output_name"],
            "attempt": job.attempt,
            "run_id": run_id,
            "batch_id": batch_id,
            "take_token": token,
            "folder": collected.folder,
            "files": collected.files,
            "result": collected.result,
            "callback_data": spec["callback_data"],
            "box": {"executor": box.executor, "id": box.box_id, "price_per_hour": box.price_per_hour},
            "cost_dollars": round(box.price_per_hour * ended.seconds / 3600, 6),
            "timings": {"started_at": started_at, "finished_at": ended.at, "seconds": ended.seconds},
        }
    )
