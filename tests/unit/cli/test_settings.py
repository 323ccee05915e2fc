"""What the command line reads from the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli import settings
from lib.errors import InputError


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REDIS_URL", "REDIS_URL_FILE", "KEY_PREFIX", "WATCHER_LEASE_IDLE_MS"):
        monkeypatch.delenv(name, raising=False)


def test_the_option_wins_over_the_file_over_the_variable_over_the_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert settings.redis_url(None) == "redis://127.0.0.1:6379/0"
    monkeypatch.setenv("REDIS_URL", "redis://variable/1")
    assert settings.redis_url(None) == "redis://variable/1"
    (tmp_path / "url").write_text("redis://:secret@file/2\n")
    monkeypatch.setenv("REDIS_URL_FILE", str(tmp_path / "url"))
    assert settings.redis_url(None) == "redis://:secret@file/2"
    assert settings.redis_url("redis://option/3") == "redis://option/3"


def test_a_missing_url_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL_FILE", "/no/such/file")
    with pytest.raises(InputError, match="REDIS_URL_FILE: /no/such/file cannot be read"):
        settings.redis_url(None)


def test_the_key_prefix_is_that_of_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.key_prefix() == "pab:"
    monkeypatch.setenv("KEY_PREFIX", "{pab}:")
    assert settings.key_prefix() == "{pab}:"


def test_the_lease_idle_time_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.lease_idle_ms() == 180_000
    monkeypatch.setenv("WATCHER_LEASE_IDLE_MS", "5000")
    assert settings.lease_idle_ms() == 5000
    for bad in ("0", "-1", "abc", "1.5", "99999999999"):
        monkeypatch.setenv("WATCHER_LEASE_IDLE_MS", bad)
        with pytest.raises(InputError, match="WATCHER_LEASE_IDLE_MS"):
            settings.lease_idle_ms()
