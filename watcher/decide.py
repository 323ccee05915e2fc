"""Which of the held jobs form a batch now. Pure: facts in, `Decision` out; no clock, no Redis, no environment.

A batch is one voice or speaker. Only where more voices wait than batches may be made are small rests mixed, for many
tiny batches would keep a slot waiting between them. Every other batch goes to the voice whose job waits longest, the
others to the voice that was served least recently: the oldest job is never starved, and neither is a voice with one
job behind another's thousand.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

Voice = tuple[str | None, str | None]
"""(voice, speaker): one of them is None."""

IDLE = "idle"
WAITING_FOR_BATCH = "waiting_for_batch"
NO_SLOTS = "no_slots"
NO_CAPACITY = "no_capacity"

_LEAST_SHARE = 0.2  # of a batch: behind busy slots a backlog is not cut smaller
_SMALL = 0.5  # of a batch: below it a voice's rest may be mixed with others


@dataclass(frozen=True, slots=True)
class HeldJob:
    """An undispatched job whose entry this watcher leases. `seconds`: its estimated speech."""

    request_id: str
    entry: str
    voice: str | None
    speaker: str | None
    seconds: float
    queued_ms: int
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """The settings that decide."""

    batch_seconds: float = 300.0
    batch_max_jobs: int = 128
    batch_min: int = 1
    batch_max_wait_ms: int = 5_000
    batches_per_slot: int = 2


@dataclass(frozen=True, slots=True)
class Facts:
    """The state of the queue. `served`: the turn at which a voice last got a batch; `turn`: the next one's number."""

    now_ms: int
    jobs: Mapping[Voice, Collection[HeldJob]]
    slots: int
    outstanding: int
    served: Mapping[Voice, int]
    turn: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """Jobs that go together, in the order they are to be spoken."""

    jobs: tuple[HeldJob, ...]

    @property
    def seconds(self) -> float:
        return sum(job.seconds for job in self.jobs)

    @property
    def voices(self) -> tuple[Voice, ...]:
        return tuple(dict.fromkeys((job.voice, job.speaker) for job in self.jobs))


@dataclass(frozen=True, slots=True)
class Decision:
    """The batches to dispatch, in order. `reason`: why there are no more. `wait_ms`: when the answer may change by
    itself; None when only new facts change it.
    """

    batches: tuple[Batch, ...]
    reason: str
    wait_ms: int | None = None


class _Line:
    """The jobs of one voice, oldest first, while they are being cut into batches."""

    def __init__(self, voice: Voice, jobs: Iterable[HeldJob], alone: bool) -> None:
        self.voice = voice
        self.alone = alone
        self.jobs = deque(sorted(jobs, key=lambda job: (job.queued_ms, _order(job.entry))))
        self.seconds = sum(job.seconds for job in self.jobs)

    @property
    def oldest_ms(self) -> int:
        return self.jobs[0].queued_ms

    def take(self) -> HeldJob:
        job = self.jobs.popleft()
        self.seconds -= job.seconds
        return job

    def ready_in_ms(self, now_ms: int, limits: Limits) -> int:
        """0 when it may start a batch now."""
        full = len(self.jobs) >= limits.batch_min or self.seconds >= limits.batch_seconds
        if self.alone or full:
            return 0
        return max(0, self.oldest_ms + limits.batch_max_wait_ms - now_ms)


def decide(facts: Facts, limits: Limits) -> Decision:
    """Return the batches to dispatch now, and why not more."""
    lines = _lines(facts.jobs)
    if not lines:
        return Decision((), NO_SLOTS if facts.outstanding and not facts.slots else IDLE)
    slots = max(1, facts.slots)
    places = limits.batches_per_slot * slots - facts.outstanding
    held_back = NO_CAPACITY if facts.slots else NO_SLOTS
    if places <= 0:
        return Decision((), held_back)
    batches: list[Batch] = []
    served, turn = dict(facts.served), facts.turn
    share = max(sum(line.seconds for line in lines) / slots, limits.batch_seconds * _LEAST_SHARE)
    while True:
        waits = {id(line): line.ready_in_ms(facts.now_ms, limits) for line in lines}
        ready = [line for line in lines if waits[id(line)] == 0]
        if not ready or places == 0:
            break
        idle = slots - facts.outstanding - len(batches)
        # A small backlog is spread: over the slots that wait, else over all of them.
        target = min(limits.batch_seconds, sum(line.seconds for line in ready) / idle if idle > 0 else share)
        batch = _fill(ready, _next(ready, served, turn), places, target, limits)
        batches.append(batch)
        served.update(dict.fromkeys(batch.voices, turn))
        lines = [line for line in lines if line.jobs]
        places, turn = places - 1, turn + 1
    if not lines:
        return Decision(tuple(batches), IDLE)
    if ready:
        return Decision(tuple(batches), held_back)
    return Decision(tuple(batches), WAITING_FOR_BATCH, min(waits.values()))


def _lines(jobs: Mapping[Voice, Collection[HeldJob]]) -> list[_Line]:
    """One line a voice, and one for each job that must go alone."""
    lines = []
    for voice, held in jobs.items():
        together = [job for job in held if not job.alone]
        if together:
            lines.append(_Line(voice, together, alone=False))
        lines += [_Line(voice, [job], alone=True) for job in held if job.alone]
    return lines


def _order(entry: str) -> tuple[int, str, int, str]:
    """Entries as the stream orders them: within one millisecond, 2 comes before 10."""
    at, _, number = entry.partition("-")
    return len(at), at, len(number), number


def _next(ready: list[_Line], served: Mapping[Voice, int], turn: int) -> _Line:
    if turn % 2 == 0:
        return min(ready, key=lambda line: (line.oldest_ms, _order(line.jobs[0].entry)))
    return min(ready, key=lambda line: (served.get(line.voice, -1), line.oldest_ms, _order(line.jobs[0].entry)))


def _fill(ready: list[_Line], line: _Line, places: int, target: float, limits: Limits) -> Batch:
    """Take a batch's jobs out of the lines."""
    jobs = [line.take()]
    if line.alone:
        return Batch(tuple(jobs))
    seconds = _top_up(jobs, jobs[0].seconds, line, target, limits)
    others = [one for one in ready if one is not line and not one.alone]
    crowded = len(ready) - 1 > places - 1
    if crowded and not line.jobs and seconds < target * _SMALL:
        for other in sorted(others, key=lambda one: one.oldest_ms):
            if other.seconds < target * _SMALL:
                seconds = _top_up(jobs, seconds, other, target, limits)
    return Batch(tuple(jobs))


def _top_up(jobs: list[HeldJob], seconds: float, line: _Line, target: float, limits: Limits) -> float:
    """Move jobs from the line while the batch comes nearer to its target by it; spreading makes none too small."""
    while line.jobs and len(jobs) < limits.batch_max_jobs:
        aim = target if len(jobs) >= limits.batch_min else limits.batch_seconds
        if seconds + line.jobs[0].seconds / 2 > aim:
            break
        job = line.take()
        jobs.append(job)
        seconds += job.seconds
    return seconds
