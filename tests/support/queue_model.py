"""The job queue in plain Python: what each move must do, told without Redis. The state machine compares the two."""

from __future__ import annotations

from dataclasses import dataclass, field

from lib.jobqueue.messages import BatchMessage, UploadMessage
from lib.jobqueue.states import FINAL, IN_BATCH


@dataclass
class Job:
    """One accepted request."""

    state: str
    attempt: int = 0
    crashes: int = 0
    lost: int = 0
    batch: str | None = None  # while it is in one
    upload: UploadMessage | None = None  # while it is uploading
    upload_token: str = ""
    queued_ms: int = 0  # when it was accepted; 0 until that was seen


@dataclass
class Batch:
    """One batch that is not settled, or whose holders may still believe it is not."""

    message: BatchMessage
    token: str = ""
    consumer: str = ""
    losses: int = 0
    stale_tokens: list[str] = field(default_factory=list)
    settled: bool = False


@dataclass
class Model:
    """All jobs and batches. Methods change what the move of that name changes, and return its answer."""

    jobs: dict[str, Job] = field(default_factory=dict)
    batches: dict[str, Batch] = field(default_factory=dict)

    def enqueue(self, ids: list[str]) -> list[str]:
        return [self._enqueue_one(id_) for id_ in ids]

    def _enqueue_one(self, id_: str) -> str:
        job = self.jobs.get(id_)
        if job is None:
            self.jobs[id_] = Job("queued")
            return "queued"
        return "already_done" if job.state == "done" else "duplicate_request"

    def in_batch(self, batch_id: str) -> list[str]:
        """The jobs still in a batch, in its order."""
        ids = self.batches[batch_id].message.request_ids
        return [id_ for id_ in ids if self.jobs.get(id_, Job("")).batch == batch_id]

    def dispatch(self, message: BatchMessage) -> None:
        self.batches[message.batch_id] = Batch(message)
        for id_ in message.request_ids:
            self.jobs[id_].state, self.jobs[id_].batch = "dispatched", message.batch_id

    def claim(self, batch_id: str, consumer: str, token: str) -> None:
        batch = self.batches[batch_id]
        if batch.token:
            batch.losses += 1
            batch.stale_tokens.append(batch.token)
            for id_ in self.in_batch(batch_id):
                if self.jobs[id_].state == "speaking":
                    self.jobs[id_].state = "dispatched"
                    self.jobs[id_].crashes += 1
        batch.token, batch.consumer = token, consumer

    def release(self, batch_id: str) -> None:
        batch = self.batches[batch_id]
        batch.stale_tokens.append(batch.token)
        batch.token = ""
        for id_ in self.in_batch(batch_id):
            self.jobs[id_].state = "dispatched"

    def settle(self, batch_id: str) -> None:
        batch = self.batches[batch_id]
        batch.settled = True
        if batch.token:
            batch.stale_tokens.append(batch.token)

    def leave(self, id_: str, state: str, *, attempts: int = 0, losses: int = 0) -> None:
        """A job leaves whatever held it for `state`."""
        job = self.jobs[id_]
        job.state, job.batch, job.upload, job.upload_token = state, None, None, ""
        job.attempt += attempts
        job.lost += losses

    def retry(self, id_: str) -> None:
        self.jobs[id_] = Job("queued")

    def flush(self) -> None:
        self.jobs = {id_: job for id_, job in self.jobs.items() if job.state in FINAL}
        for batch_id in self.open_batches():
            self.settle(batch_id)

    def put_back(self) -> None:
        """What the audit does after every entry that carries a job has vanished."""
        for id_, job in self.jobs.items():
            if job.state in {"queued", "uploading"} or job.state in IN_BATCH:
                self.leave(id_, "queued")
        for batch_id in self.open_batches():
            self.settle(batch_id)

    def ids(self, *states: str) -> list[str]:
        return sorted(id_ for id_, job in self.jobs.items() if job.state in states)

    def open_batches(self, *, claimed: bool | None = None) -> list[str]:
        return sorted(
            id_
            for id_, batch in self.batches.items()
            if not batch.settled and (claimed is None or bool(batch.token) == claimed)
        )
