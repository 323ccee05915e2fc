"""The watcher's loop: read, admit, decide, dispatch. One thread; the lock and the leases are renewed by others.

The three error families are caught here and nowhere else. A queue that cannot be used is waited out, with its reason
visible; a lost lock makes a standby of this watcher, which then knows nothing. Refuses to know what a batch becomes.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from threading import Event

from lib.errors import JobRunnerError, LeaseLost
from lib.jobqueue.look import Look
from lib.jobqueue.store import JobStore
from lib.process import HealthServer
from watcher.audit import Audit
from watcher.decide import Batch, Decision, Facts, Limits, Voice, decide
from watcher.held import Held
from watcher.intake import Intake
from watcher.lease import Lock, Renewer, boot_clock
from watcher.observe import Observer
from watcher.pulse import Pulse, RedisClock
from watcher.retries import promote_due
from watcher.settings import WatcherSettings

READ_ENTRIES = 500
FULL_BLOCK_MS = 100  # while all slots are full: how late a finished batch may be noticed
STANDBY_SECONDS = 0.5
BEAT_SECONDS = 5.0
LEAST_BACK_OFF_SECONDS = 0.5
MOST_BACK_OFF_SECONDS = 10.0
SERVED_VOICES = 1_000


class Watcher:
    """One watcher, standby or leader."""

    idle_block_ms = 500  # also how late a stop signal may be noticed
    tick_seconds = 1.0  # between two looks at what comes due: retries, slots, the audit's next step

    def __init__(
        self,
        settings: WatcherSettings,
        store: JobStore,
        held: Held,
        lock: Lock,
        renewer: Renewer,
        pulse: Pulse,
        clock: RedisClock,
        observer: Observer,
        health: HealthServer,
        stop: Event,
    ) -> None:
        self._limits: Limits = settings.limits()
        self._window = settings.watcher_window
        self._consumer = settings.consumer
        self._worker = f"watcher/{settings.host}"
        self._store = store
        self._look = Look(store)
        self._stream = store.jobs_stream(settings.consumer)
        self._batches = store.batches_stream(settings.consumer)
        self._held = held
        self._lock = lock
        self._renewer = renewer
        self._pulse = pulse
        self._clock = clock
        self._observer = observer
        self._health = health
        self._stop = stop
        self._intake = Intake(store, held, observer)
        self._audit = Audit(
            store,
            self._look,
            self._stream,
            held,
            self._intake,
            lock,
            clock,
            observer,
            settings.watcher_audit_seconds,
            settings.watcher_spool_lost_seconds,
        )
        self._term = ""
        self._shaken = False
        self._slots = 0
        self._turn = 0
        self._served: dict[Voice, int] = {}
        self._next_tick = 0.0
        self._next_beat = 0.0
        self._trouble: str | None = "starting"

    def not_ready(self) -> str | None:
        """Why this watcher does no work now: for /readyz."""
        return self._trouble

    def run(self) -> None:
        """Work until the stop event."""
        back_off = LEAST_BACK_OFF_SECONDS
        while not self._stop.is_set():
            self._health.beat()
            self._observer.went_round()
            try:
                if self._lock.believed():
                    self._lead()
                else:
                    self._stand_by()
            except LeaseLost as error:
                self._lock.abandon(str(error))
                self._forget()
            except JobRunnerError as error:
                self._observer.trouble("loop", error)
                self._trouble = f"{error.error_type}: {error}"
                self._pulse.reason = f"redis: {error.error_type}"
                self._shaken = True
                self._stop.wait(back_off)
                back_off = min(MOST_BACK_OFF_SECONDS, back_off * 2)
            else:
                self._observer.trouble_over("loop")
                back_off = LEAST_BACK_OFF_SECONDS

    # Terms

    def _stand_by(self) -> None:
        self._forget()
        self._beat()
        owner = self._lock.acquire()
        if owner:
            self._trouble = f"standby: {owner} holds the lock"
            self._observer.standby(owner)
            self._stop.wait(STANDBY_SECONDS)

    def _forget(self) -> None:
        """Know nothing: whatever was held belongs to the next holder of the lock."""
        self._term = ""
        self._held.clear()
        self._audit.restart()
        while not self._renewer.renewals.empty():
            self._renewer.renewals.get_nowait()

    def _begin(self, term: str) -> None:
        """Start a term: take over every lease, whoever had it, at once; nobody else can dispatch."""
        self._forget()
        self._next_tick = 0.0
        run_id = self._pulse.new_run()
        self._ensure()
        after, entries = "0-0", 0
        while after:
            if self._lock.value() != term:
                raise LeaseLost("another term began")
            page, after = self._stream.take_over(READ_ENTRIES, after)
            self._intake.take(page, self._clock.now_ms())
            entries += len(page)
            self._health.beat()
        self._term = term
        self._observer.lock_won(self._consumer, run_id)
        self._observer.taken_over(entries)

    def _ensure(self) -> None:
        self._stream.ensure()
        self._batches.ensure()

    # One round

    def _lead(self) -> None:
        term = self._lock.value()
        if term != self._term:
            self._begin(term)
        elif self._shaken:
            self._ensure()
            self._renewer.poke()
        self._shaken = False
        self._reconcile()
        self._tick()
        decision = self._decide()
        self._trouble = None
        dispatched = self._dispatch(decision.batches)
        self._say(decision)
        self._read(0 if dispatched else self._patience_ms(decision))

    def _reconcile(self) -> None:
        """Follow what the renewer found out."""
        while not self._renewer.renewals.empty():
            renewal = self._renewer.renewals.get_nowait()
            if renewal.term != self._term:
                continue
            lost = [one for one in renewal.lost if self._held.is_undispatched(one)]
            if lost:
                self._observer.leases_lost(len(lost))
            self._held.drop(renewal.lost)
            unknown = [one for one in renewal.unknown if not self._held.is_known(one)]
            if unknown:
                self._intake.take(self._stream.fetch(unknown), self._clock.now_ms())

    def _tick(self) -> None:
        now = boot_clock()
        if now < self._next_tick:
            return
        self._next_tick = now + self.tick_seconds
        self._beat()
        self._slots = len(self._look.live_workers("slot"))
        promote_due(self._store, self._look, self._clock.now_ms(), self._observer)
        self._audit.step(now)

    def _beat(self) -> None:
        """Say that this watcher lives, and learn what time it is."""
        now = boot_clock()
        if now < self._next_beat and not self._shaken:
            return
        self._next_beat = now + BEAT_SECONDS
        self._clock.told(self._store.beat(self._worker))
        self._observer.gauges(*self._look.counts())

    def _decide(self) -> Decision:
        outstanding = self._batches.length()
        self._pulse.outstanding_batches = outstanding
        facts = Facts(
            now_ms=self._clock.now_ms(),
            jobs=self._held.voices(),
            slots=self._slots,
            outstanding=outstanding,
            served=self._served,
            turn=self._turn,
        )
        return decide(facts, self._limits)

    def _dispatch(self, batches: Sequence[Batch]) -> int:
        """Dispatch in order; stop at the first surprise, for what was decided next rests on it."""
        for done, batch in enumerate(batches):
            voice, speaker = batch.voices[0] if len(batch.voices) == 1 else (None, None)
            header = {
                "v": 1,
                "voice": voice,
                "speaker": speaker,
                "estimated_seconds": round(batch.seconds, 2),
                "jobs": len(batch.jobs),
            }
            batch_id = f"b-{self._clock.compact()}-{secrets.token_hex(4)}"
            jobs = [(job.request_id, job.entry) for job in batch.jobs]
            stale = self._store.dispatch(self._lock.value(), batch_id, json.dumps(header), jobs)
            if stale:
                gone = set(stale)
                self._held.drop(job.entry for job in batch.jobs if job.request_id in gone)
                self._observer.stale(stale)
                return done + 1
            self._held.add_elsewhere(entry for _, entry in jobs)
            self._observer.dispatched(batch_id, batch)
            self._turn += 1
            for voice_key in batch.voices:
                self._served.pop(voice_key, None)
                self._served[voice_key] = self._turn
            while len(self._served) > SERVED_VOICES:
                del self._served[next(iter(self._served))]
        return len(batches)

    def _say(self, decision: Decision) -> None:
        self._pulse.held = self._held.undispatched
        self._pulse.reason = decision.reason
        self._observer.reason(decision.reason)

    def _patience_ms(self, decision: Decision) -> int:
        """How long new entries may be waited for: what else could change the decision comes round in that time."""
        if decision.wait_ms is not None:
            return max(1, min(self.idle_block_ms, decision.wait_ms))
        return FULL_BLOCK_MS if self._held.undispatched and self._slots else self.idle_block_ms

    def _read(self, patience_ms: int) -> None:
        """Take new entries up to the window, waiting for the first."""
        room = self._window - self._held.undispatched
        if room <= 0:
            self._stop.wait(patience_ms / 1000)
            return
        entries = self._stream.read(min(room, READ_ENTRIES), patience_ms)
        if entries:
            self._lock.value()
            self._intake.take(entries, self._clock.now_ms())
