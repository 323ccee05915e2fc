"""Settings that several processes share. Each process's own settings live beside it and extend these.

A setting is a field with a default, a bound and a description; `.env.example` is tested to list them all.
"""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class QueueSettings(BaseSettings):
    """How a process reaches the queue, and how it logs."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    redis_url: SecretStr = Field(SecretStr("redis://127.0.0.1:6379/0"), description="Redis connection URL.")
    redis_url_file: Path | None = Field(None, description="A file that holds REDIS_URL; wins over it.")
    key_prefix: str = Field("pab:", min_length=1, description="Prefix of every key; a hash tag such as {pab}: works.")
    worker_name: str = Field(
        "",
        description="Name of this host's workers, kept over restarts; one live process of each kind for a name. "
        "Default: the host's name.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least level that is logged.")
    metrics_host: str = Field("127.0.0.1", description="Address of /metrics, /healthz and /readyz.")

    @field_validator("worker_name")
    @classmethod
    def _plain_name(cls, value: str) -> str:
        if value and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}", value):
            raise ValueError("use letters, digits, '.', '_' and '-', at most 200")
        return value

    @property
    def host(self) -> str:
        """The name under which this host's workers are known, the same after every restart."""
        return self.worker_name or socket.gethostname()

    def redis_address(self) -> str:
        """The URL, from its file where one is named."""
        if self.redis_url_file is not None:
            return self.redis_url_file.read_text(encoding="utf-8").strip()
        return self.redis_url.get_secret_value()


class SpoolSettings(BaseSettings):
    """The folder that one host's provisioner and uploaders share."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    spool_dir: Path = Field(Path("spool"), description="Collected audio waits here until it is stored.")
    spool_min_free_mb: int = Field(500, ge=1, description="Leasing pauses when the spool's disk has less room (MiB).")


class RetrySettings(BaseSettings):
    """The bound on attempts, shared by all who may fail a job."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    watcher_max_attempts: int = Field(3, ge=1, description="Attempts at a job before it is transient_exhausted.")
