"""The walk of `flush`: empty the queue in bounded steps, and with `hard` forget what has ended too.

Touches jobs only: locks, consumer groups, the heartbeat, the watcher's instance, boxes and money stay. It is safe
beside live workers (whoever holds a job learns at its next renewal that it is gone) and safe to repeat after a break.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lib.errors import TransientError
from lib.jobqueue.look import Look
from lib.jobqueue.store import JobStore

STEP = 500
HARD_TRIES = 100  # steps that producers may undo by enqueueing meanwhile, before a hard flush gives up
Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Flushed:
    """What a flush removed. `queue`: rows, stream entries and retries; the rest is 0 without `hard`."""

    queue: int
    stray: int
    done_records: int
    failed_records: int


def flush(store: JobStore, *, hard: bool = False, progress: Progress = lambda _removed: None) -> Flushed:
    """Empty the queue. `progress` is told after each step how many things it removed.

    Raises:
        TransientError: producers enqueue faster than a hard flush can find the queue empty.
    """
    queue = _empty_queue(store, progress)
    stray = 0
    for ids in _unfinished(store):
        removed = store.flush_stray(ids)
        stray += removed
        progress(removed)
    store.audit_batches()
    if not hard:
        return Flushed(queue, stray, 0, 0)
    for _ in range(HARD_TRIES):
        records = store.flush_hard()
        if records is not None:
            progress(sum(records))
            return Flushed(queue, stray, *records)
        queue += _empty_queue(store, progress)
    raise TransientError("jobs arrive faster than they can be flushed; stop the producers, then flush again")


def _empty_queue(store: JobStore, progress: Progress) -> int:
    total = 0
    while removed := store.flush_step(STEP):
        total += removed
        progress(removed)
    return total


def _unfinished(store: JobStore) -> Iterator[list[str]]:
    """Pages of request ids that have a spec, or a row that is not final: the script decides about each."""
    look = Look(store)
    for key in (store.keys.specs, store.keys.index):
        cursor = 0
        while True:
            cursor, page = look.records(key, cursor, STEP)
            ids = [id_ for id_, value in page.items() if key == store.keys.specs or not _looks_final(value)]
            if ids:
                yield ids
            if cursor == 0:
                break


def _looks_final(row: str) -> bool:
    """A cheap look that spares the script the rows of finished jobs, which are most of a large index."""
    return row in ("done", "failed", "cancelled") or any(
        f'"state":"{state}"' in row for state in ("done", "failed", "cancelled")
    )
