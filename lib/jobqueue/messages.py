"""One frozen class for each thing that travels on a stream, or comes back from a move. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from lib.errors import QueueCorrupt


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a work stream."""

    id: str
    fields: dict[str, str]


@dataclass(frozen=True, slots=True)
class Admission:
    """What became of one entry that the watcher read: see `lua/admit.lua`."""

    outcome: str
    attempt: int
    losses: int
    alone: bool
    queued_ms: int


@dataclass(frozen=True, slots=True)
class BatchMessage:
    """An entry of the batches stream. `header`: v, voice, speaker, estimated_seconds."""

    entry: str
    batch_id: str
    request_ids: tuple[str, ...]
    header: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, entry: Entry) -> BatchMessage:
        """Read an entry; raises QueueCorrupt when it is no batch of ours."""
        batch_id = entry.fields.get("batch_id", "")
        ids, header = _load(entry, "jobs"), _load(entry, "header")
        if not batch_id or not isinstance(header, dict):
            raise QueueCorrupt(f"batches stream entry {entry.id}: no batch_id or no header")
        if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
            raise QueueCorrupt(f"batches stream entry {entry.id}: jobs is not a list of request ids")
        return cls(entry.id, batch_id, tuple(ids), header)


@dataclass(frozen=True, slots=True)
class ClaimedJob:
    """One job of a claimed batch. `spec` is its JSON; `state` is dispatched or speaking."""

    request_id: str
    spec: str
    attempt: int
    losses: int
    crashes: int
    state: str


@dataclass(frozen=True, slots=True)
class ClaimedBatch:
    """A batch this process now holds. `losses`: holders that vanished with it."""

    batch_id: str
    losses: int
    jobs: tuple[ClaimedJob, ...]


@dataclass(frozen=True, slots=True)
class UploadMessage:
    """An entry of an uploads stream. `payload` is described in docs/protocol.md ("An upload")."""

    entry: str
    request_id: str
    payload: dict[str, Any]

    @classmethod
    def parse(cls, entry: Entry) -> UploadMessage:
        """Read an entry; raises QueueCorrupt when it is no upload of ours."""
        payload = _load(entry, "upload")
        request_id = entry.fields.get("request_id", "")
        if not request_id or not isinstance(payload, dict):
            raise QueueCorrupt(f"uploads stream entry {entry.id}: no request_id or no upload")
        return cls(entry.id, request_id, payload)


@dataclass(frozen=True, slots=True)
class ClaimedUpload:
    """An upload this process now holds. `row` is the job's row (see docs/protocol.md), its token ours."""

    message: UploadMessage
    row: dict[str, Any]


def _load(entry: Entry, name: str) -> object:
    try:
        return json.loads(entry.fields.get(name, ""))
    except (ValueError, RecursionError) as error:
        raise QueueCorrupt(f"stream entry {entry.id}: field {name} is not JSON: {error}") from error
