"""The uploader's own settings. Reads the environment and nothing else; opens no connection."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from lib.settings import QueueSettings, SpoolSettings


class UploaderSettings(QueueSettings, SpoolSettings):
    """How one uploader takes, stores and settles what lies in the spool."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    uploader_sink: Literal["disk", "s3"] = Field("disk", description="Where finished audio goes: disk or s3.")
    uploader_disk_dir: Path = Field(Path("output"), description="Folder of the disk sink: one folder for each topic.")
    uploader_batch: int = Field(32, ge=1, le=500, description="Uploads held at a time.")
    uploader_threads: int = Field(4, ge=1, le=64, description="Uploads stored at the same time.")
    uploader_lease_ms: int = Field(
        60_000, ge=1_000, le=3_600_000, description="An upload whose holder is silent for so long is taken over (ms)."
    )
    uploader_store_seconds: float = Field(
        600.0, gt=0, le=86_400, description="Longest try at storing one job; after it the lease is left to run out (s)."
    )
    uploader_retry_max_seconds: float = Field(
        30.0, gt=0, le=3_600, description="Longest wait between two tries at storing a job (s)."
    )
    uploader_stop_seconds: float = Field(
        30.0, ge=0, le=3_600, description="On SIGTERM, how long running uploads may take to end (s)."
    )
    uploader_metrics_port: int = Field(0, ge=0, le=65_535, description="Port of /metrics and the health pages; 0: off.")

    s3_bucket: str | None = Field(None, description="Bucket of the s3 sink.")
    s3_prefix: str = Field("", description="Put before every key, as it is: audio/ makes audio/topic/beat-001/…")
    s3_endpoint_url: str | None = Field(None, description="Endpoint of a store that is not AWS, http(s)://HOST[:PORT].")
    s3_region: str | None = Field(None, description="Region; default: the AWS chain's, else us-east-1.")
    s3_access_key_id: SecretStr | None = Field(None, description="Key id; default: the standard AWS chain.")
    s3_access_key_id_file: Path | None = Field(None, description="A file that holds S3_ACCESS_KEY_ID; wins over it.")
    s3_secret_access_key: SecretStr | None = Field(None, description="Secret key; default: the standard AWS chain.")
    s3_secret_access_key_file: Path | None = Field(
        None, description="A file that holds S3_SECRET_ACCESS_KEY; wins over it."
    )
    s3_path_style: bool | None = Field(
        None, description="Bucket in the path (true) or the host name (false); default: true with S3_ENDPOINT_URL."
    )
    s3_connect_timeout_seconds: float = Field(5.0, gt=0, le=300, description="Longest wait for a connection (s).")
    s3_read_timeout_seconds: float = Field(30.0, gt=0, le=3_600, description="Longest silence of the store (s).")
    s3_read_back: bool = Field(
        False, description="Read every object back after storing; without it only where the store gives no checksum."
    )

    @model_validator(mode="after")
    def _fits(self) -> UploaderSettings:
        if self.uploader_sink == "s3":
            if not self.s3_bucket:
                raise ValueError("S3_BUCKET is needed with UPLOADER_SINK=s3")
            if bool(self._key_id()) != bool(self._secret()):
                raise ValueError("S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY go together: set both, or neither")
            if self.s3_endpoint_url and not self.s3_endpoint_url.startswith(("http://", "https://")):
                raise ValueError("S3_ENDPOINT_URL must begin with http:// or https://")
            if self.s3_prefix.startswith("/") or ".." in self.s3_prefix.split("/"):
                raise ValueError("S3_PREFIX must not begin with '/' nor hold '..'")
        return self

    def _key_id(self) -> object:
        return self.s3_access_key_id_file or (self.s3_access_key_id and self.s3_access_key_id.get_secret_value())

    def _secret(self) -> object:
        return self.s3_secret_access_key_file or (
            self.s3_secret_access_key and self.s3_secret_access_key.get_secret_value()
        )

    def s3_keys(self) -> tuple[str, str] | None:
        """Key id and secret key, from their files where those are named; None: ask the standard AWS chain."""
        key_id = _value(self.s3_access_key_id_file, self.s3_access_key_id)
        secret = _value(self.s3_secret_access_key_file, self.s3_secret_access_key)
        return (key_id, secret) if key_id and secret else None


def _value(file: Path | None, value: SecretStr | None) -> str:
    if file is not None:
        return file.read_text(encoding="utf-8").strip()
    return value.get_secret_value() if value else ""
