"""Settings that do not fit together are named; secrets are not shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from uploader.settings import UploaderSettings

S3: dict[str, Any] = {"uploader_sink": "s3", "s3_bucket": "audio"}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"uploader_sink": "s3"}, "S3_BUCKET"),
        ({**S3, "s3_access_key_id": "only-half"}, "go together"),
        ({**S3, "s3_endpoint_url": "somewhere:9000"}, "http://"),
        ({**S3, "s3_prefix": "/absolute"}, "S3_PREFIX"),
        ({**S3, "s3_prefix": "a/../b"}, "S3_PREFIX"),
        ({"uploader_sink": "ftp"}, "disk"),
        ({"uploader_lease_ms": 10}, "1000"),
        ({"worker_name": "a b"}, "letters, digits"),
    ],
)
def test_what_does_not_fit_is_named(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        UploaderSettings(**settings)


def test_a_file_wins_over_a_value_and_neither_is_shown(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from-the-file\n")
    settings = UploaderSettings(
        **S3, s3_access_key_id="id", s3_secret_access_key="value", s3_secret_access_key_file=tmp_path / "secret"
    )
    assert settings.s3_keys() == ("id", "from-the-file")
    assert "value" not in repr(settings.s3_secret_access_key)


def test_without_keys_the_standard_chain_is_asked() -> None:
    assert UploaderSettings(**S3, s3_access_key_id="", s3_secret_access_key="").s3_keys() is None
