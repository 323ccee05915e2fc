"""The watcher's own settings. Reads the environment and nothing else; opens no connection."""

from __future__ import annotations

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from lib.settings import QueueSettings
from watcher.decide import Limits


class WatcherSettings(QueueSettings):
    """How one watcher leases jobs, and how it forms batches."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    watcher_lease_idle_ms: int = Field(
        180_000, ge=1_000, le=86_400_000, description="An entry nobody renewed for so long is stale (ms)."
    )
    watcher_lock_ttl_ms: int = Field(
        10_000,
        ge=1_000,
        le=600_000,
        description="Life of the lock without renewal: what a killed watcher costs before the next one begins (ms).",
    )
    watcher_window: int = Field(2_000, ge=1, le=100_000, description="Undispatched jobs held in memory.")
    watcher_batch_seconds: float = Field(
        300.0, gt=0, le=86_400, description="Estimated speech that a batch aims at (s)."
    )
    watcher_batch_max_jobs: int = Field(128, ge=1, le=1_000, description="Jobs in a batch at most.")
    watcher_batch_min: int = Field(
        1, ge=1, le=1_000, description="Jobs of one voice that start a batch; 1: the first job starts at once."
    )
    watcher_batch_max_wait: float = Field(
        5.0, ge=0, le=86_400, description="A job that has waited so long starts a batch below WATCHER_BATCH_MIN (s)."
    )
    watcher_batches_per_slot: int = Field(2, ge=1, le=100, description="Outstanding batches for each live slot.")
    watcher_audit_seconds: float = Field(60.0, gt=0, le=86_400, description="Time between two audits (s).")
    watcher_spool_lost_seconds: float = Field(
        3_600.0,
        ge=0,
        le=86_400 * 365,
        description="A spool whose provisioner and uploaders are silent for so long is lost: its jobs start anew (s).",
    )
    watcher_metrics_port: int = Field(0, ge=0, le=65_535, description="Port of /metrics and the health pages; 0: off.")

    @model_validator(mode="after")
    def _fits(self) -> WatcherSettings:
        if self.watcher_batch_min > self.watcher_batch_max_jobs:
            raise ValueError("WATCHER_BATCH_MIN must not exceed WATCHER_BATCH_MAX_JOBS")
        if self.watcher_batch_min > self.watcher_window:
            raise ValueError("WATCHER_BATCH_MIN must not exceed WATCHER_WINDOW")
        return self

    @property
    def consumer(self) -> str:
        """This watcher's name on the stream, the same after every restart."""
        return f"{self.host}/watcher-0"

    def limits(self) -> Limits:
        """What `decide` needs to know of them."""
        return Limits(
            batch_seconds=self.watcher_batch_seconds,
            batch_max_jobs=self.watcher_batch_max_jobs,
            batch_min=self.watcher_batch_min,
            batch_max_wait_ms=int(self.watcher_batch_max_wait * 1000),
            batches_per_slot=self.watcher_batches_per_slot,
        )
