"""The provisioner's own settings. Reads the environment and nothing else; opens no connection."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from lib.settings import QueueSettings, RetrySettings, SpoolSettings


class ProvisionerSettings(QueueSettings, SpoolSettings, RetrySettings):
    """How many batches are spoken at a time, and on what."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    provisioner_slots: int = Field(1, ge=1, le=64, description="Slots: batches that are spoken at the same time.")
    provisioner_executor: Literal["local", "null"] = Field(
        "local", description="local speaks on this machine; null speaks nothing and reports all done (benchmarks only)."
    )
    provisioner_work_dir: Path = Field(
        Path("work"), description="Folder of the batches being spoken; one provisioner for each."
    )
    provisioner_batch_lease_ms: int = Field(
        60_000, ge=1_000, le=3_600_000, description="A batch whose holder is silent for so long is taken over (ms)."
    )
    provisioner_batch_margin_seconds: float = Field(
        60.0, ge=0, le=86_400, description="A batch may take the sum of its jobs' deadlines and this on top (s)."
    )
    provisioner_stop_seconds: float = Field(
        20.0, ge=0, le=3_600, description="On SIGTERM, how long the job being spoken may take to end (s)."
    )
    provisioner_metrics_port: int = Field(
        0, ge=0, le=65_535, description="Port of /metrics and the health pages; 0: off."
    )

    @property
    def consumer_prefix(self) -> str:
        """What the names of all slots of this provisioner begin with, however many there were before."""
        return f"{self.host}/provisioner-"

    def consumers(self) -> list[str]:
        """The name of each slot on the batches stream."""
        return [f"{self.consumer_prefix}{number}" for number in range(1, self.provisioner_slots + 1)]
