"""The catalogue: every metric of every program is declared here and nowhere else (a test looks).

Names follow the Prometheus rules: prefix, base unit, unit suffix, `_total` on counters. No label is unbounded: no job,
request, topic or box ever is one. docs/metrics.md lists them.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)


class ProcessMetrics:
    """What every worker exports."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.queue_errors = Counter(
            "jobrunner_queue_errors_total", "Calls to Redis that failed, by class.", ["error_type"], registry=registry
        )
        self.loop_last = Gauge(
            "jobrunner_loop_last_timestamp_seconds", "When the main loop last went round.", registry=registry
        )
        self.lost_leases = Counter(
            "jobrunner_lost_leases_total", "Leases this process found it no longer held.", registry=registry
        )


class WatcherMetrics(ProcessMetrics):
    """The watcher's, the state of the queue among them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self.jobs = Gauge("jobrunner_jobs", "Jobs now in each state.", ["state"], registry=registry)
        self.oldest_queued = Gauge(
            "jobrunner_oldest_job_timestamp_seconds",
            "When the oldest unfinished job was queued; 0 when there is none.",
            registry=registry,
        )
        self.holds_lock = Gauge(
            "jobrunner_watcher_lock_held", "1 while this watcher holds the lock.", registry=registry
        )
        self.admitted = Counter(
            "jobrunner_entries_admitted_total",
            "Entries read from the jobs stream, by outcome.",
            ["outcome"],
            registry=registry,
        )
        self.batches = Counter("jobrunner_batches_dispatched_total", "Batches dispatched.", registry=registry)
        self.batch_jobs = Counter("jobrunner_jobs_dispatched_total", "Jobs dispatched in batches.", registry=registry)
        self.batch_speech = Counter(
            "jobrunner_dispatched_speech_seconds_total", "Estimated seconds of speech dispatched.", registry=registry
        )
        self.promoted = Counter("jobrunner_retries_promoted_total", "Retries put back when due.", registry=registry)
        self.repaired = Counter(
            "jobrunner_audit_repairs_total",
            "Jobs the audit put back, by the state they were in.",
            ["state"],
            registry=registry,
        )


class ProvisionerMetrics(ProcessMetrics):
    """The provisioner's: batches, jobs leaving it, and its slots."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self.slots_busy = Gauge("jobrunner_slots_busy", "Slots that hold a batch.", registry=registry)
        self.slots = Gauge("jobrunner_slots", "Slots of this provisioner.", registry=registry)
        self.batches = Counter("jobrunner_batches_total", "Batches ended, by outcome.", ["outcome"], registry=registry)
        self.jobs = Counter(
            "jobrunner_jobs_left_batch_total", "Jobs that left a batch, by outcome.", ["outcome"], registry=registry
        )
        self.failures = Counter(
            "jobrunner_job_failures_total", "Failed attempts, by error type.", ["error_type"], registry=registry
        )
        self.audio = Counter("jobrunner_audio_seconds_total", "Seconds of audio collected.", registry=registry)
        self.speech = Histogram(
            "jobrunner_speech_duration_seconds", "Time to synthesise a job.", registry=registry, buckets=_SECONDS
        )
        self.idle = Counter(
            "jobrunner_slot_idle_seconds_total", "Seconds slots waited between two batches.", registry=registry
        )
        self.paused = Gauge(
            "jobrunner_leasing_paused",
            "1 while a slot takes no batches: the spool is full, or voice-synth does not run.",
            registry=registry,
        )
        self.spool_free = Gauge("jobrunner_spool_free_bytes", "Free room on the spool's disk.", registry=registry)


class UploaderMetrics(ProcessMetrics):
    """The uploader's: stored files and settled jobs."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self.settled = Counter(
            "jobrunner_jobs_settled_total", "Jobs that ended here, by outcome.", ["outcome"], registry=registry
        )
        self.files = Counter("jobrunner_files_stored_total", "Files stored.", registry=registry)
        self.bytes = Counter("jobrunner_stored_bytes_total", "Bytes stored.", registry=registry)
        self.store_errors = Counter(
            "jobrunner_store_errors_total",
            "Attempts to store that failed, by error type.",
            ["error_type"],
            registry=registry,
        )
        self.storing = Histogram(
            "jobrunner_storing_duration_seconds",
            "Time to store the files of a job.",
            registry=registry,
            buckets=_SECONDS,
        )
        self.job_age = Histogram(
            "jobrunner_job_duration_seconds", "Time from queued to settled.", registry=registry, buckets=_SECONDS
        )
        self.waiting = Gauge("jobrunner_uploads_waiting", "Uploads of this spool not yet settled.", registry=registry)
        self.repaired = Counter(
            "jobrunner_store_repairs_total",
            "Files of settled jobs that a late write had overwritten, put right.",
            registry=registry,
        )
        self.blocked = Gauge(
            "jobrunner_storage_blocked", "1 while storing waits for the store to recover.", registry=registry
        )


class CommandMetrics:
    """One run of the CLI: pushed to a Pushgateway, or written to a textfile."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.duration = Gauge(
            "jobrunner_command_duration_seconds",
            "How long the last run of a command took.",
            ["command"],
            registry=registry,
        )
        self.last = Gauge(
            "jobrunner_command_last_timestamp_seconds",
            "When a command last ended, by exit code.",
            ["command", "exit_code"],
            registry=registry,
        )
        self.enqueued = Gauge(
            "jobrunner_command_enqueued_jobs", "Jobs of the last enqueue, by answer.", ["status"], registry=registry
        )
