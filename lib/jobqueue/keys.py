"""Every key and stream name of the job queue, each made by a named function. Refuses nothing, touches nothing."""

from __future__ import annotations

WATCHERS = "watchers"
PROVISIONERS = "provisioners"
UPLOADERS = "uploaders"


class Keys:
    """Key names under one prefix. A hash tag in the prefix (`{pab}:`) keeps all keys in one slot of a Cluster."""

    def __init__(self, prefix: str = "pab:") -> None:
        self.prefix = prefix
        self.index = f"{prefix}jobs:req:index"
        self.specs = f"{prefix}jobs:specs"
        self.jobs_stream = f"{prefix}jobs:stream"
        self.outstanding = f"{prefix}jobs:outstanding"
        self.first_queued = f"{prefix}jobs:first_queued"
        self.retry = f"{prefix}jobs:retry:zset"
        self.result = f"{prefix}jobs:result"
        self.failed = f"{prefix}jobs:failed"
        self.history_done = f"{prefix}jobs:history:done"
        self.history_failed = f"{prefix}jobs:history:failed"
        self.counters = f"{prefix}jobs:counters"
        self.events = f"{prefix}jobs:events"
        self.batches_stream = f"{prefix}batches:stream"
        self.batches_index = f"{prefix}batches:index"
        self.spools = f"{prefix}uploads:spools"
        self.watcher_lock = f"{prefix}watcher:lock"
        self.watcher_heartbeat = f"{prefix}watcher:heartbeat"
        self.watcher_instance = f"{prefix}watcher:instance"
        self.workers = f"{prefix}workers:alive"
        self.backfill = f"{prefix}jobs:backfill"

    def uploads_stream(self, spool: str) -> str:
        """The uploads stream of one spool folder."""
        return f"{self.prefix}uploads:{spool}"

    def sweep(self, stream: str) -> str:
        """The expiring key that lets one process at a time reclaim abandoned entries of `stream`."""
        return f"{self.prefix}sweep:{stream.removeprefix(self.prefix)}"

    def job_keys(self) -> list[str]:
        """KEYS[1..14] of every script that moves jobs, in the order `lua/_common.lua` unpacks them."""
        return [
            self.index,
            self.specs,
            self.jobs_stream,
            self.outstanding,
            self.first_queued,
            self.retry,
            self.result,
            self.failed,
            self.history_done,
            self.history_failed,
            self.counters,
            self.events,
            self.batches_stream,
            self.batches_index,
        ]
