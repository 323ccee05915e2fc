"""The states of a job, their named sets, and the table of allowed moves. Pure; docs/states.md is the same in words."""

from __future__ import annotations

QUEUED = "queued"  # on the jobs stream, in no batch
DISPATCHED = "dispatched"  # in a batch that no executor has begun with
SPEAKING = "speaking"  # its synthesis has begun on a box
UPLOADING = "uploading"  # its audio lies in a spool and waits to be stored
RETRYING = "retrying"  # in the retry set until its time comes
DONE = "done"
FAILED = "failed"
CANCELLED = "cancelled"

IN_BATCH = frozenset({DISPATCHED, SPEAKING})
HOLDING_ENTRY = frozenset({QUEUED, DISPATCHED, SPEAKING, UPLOADING})
OUTSTANDING = HOLDING_ENTRY | {RETRYING}
FINAL = frozenset({DONE, FAILED, CANCELLED})
ALL = OUTSTANDING | FINAL

# move (the script's name) -> (states it may start from, state it ends in); "" is a request nobody knows (any more).
# Two scripts end some jobs otherwise: `promote` fails a retry whose spec is lost, and `backfill` gives the records of
# older versions, which are final already, the row they lack.
MOVES: dict[str, tuple[frozenset[str], str]] = {
    "enqueue": (frozenset({""}), QUEUED),
    "admit": (frozenset({"", QUEUED}), QUEUED),
    "reject": (frozenset({"", QUEUED}), FAILED),
    "dispatch": (frozenset({QUEUED}), DISPATCHED),
    "start_jobs": (IN_BATCH, SPEAKING),
    "claim_batch": (frozenset({SPEAKING}), DISPATCHED),
    "release_batch": (frozenset({SPEAKING}), DISPATCHED),
    "hand_over": (IN_BATCH, UPLOADING),
    "complete": (frozenset({UPLOADING}), DONE),
    "fail": (OUTSTANDING, FAILED),
    "retry_later": (IN_BATCH | {UPLOADING}, RETRYING),
    "requeue": (IN_BATCH | {UPLOADING}, QUEUED),
    "promote": (frozenset({RETRYING}), QUEUED),
    "retry": (frozenset({FAILED, CANCELLED}), QUEUED),
    "cancel": (OUTSTANDING, CANCELLED),
    "audit": (OUTSTANDING, QUEUED),
    "flush": (OUTSTANDING, ""),
    "flush_stray": (OUTSTANDING, ""),
    "flush_hard": (FINAL, ""),
}
