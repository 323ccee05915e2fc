"""What the Redis commands read from the environment, and that offline work and mistakes never load Redis."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cli import settings
from lib.errors import InputError
from tests.support.command import ROOT, environment


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REDIS_URL", "REDIS_URL_FILE", "KEY_PREFIX", "WATCHER_LEASE_IDLE_MS", "REDIS_TIMEOUT_SECONDS"):
        monkeypatch.delenv(name, raising=False)


def test_without_settings_the_defaults_of_the_contract_hold() -> None:
    assert settings.redis_url(None) == "redis://127.0.0.1:6379/0"
    assert settings.lease_idle_ms() == 180_000
    assert settings.key_prefix() == "pab:"
    assert settings.redis_timeout_seconds() == 5.0


def test_the_option_wins_over_the_file_and_the_file_over_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://variable")
    assert settings.redis_url(None) == "redis://variable"
    (tmp_path / "url").write_text("redis://file\n", encoding="utf-8")
    monkeypatch.setenv("REDIS_URL_FILE", str(tmp_path / "url"))
    assert settings.redis_url(None) == "redis://file"
    assert settings.redis_url("redis://option") == "redis://option"


@pytest.mark.parametrize(
    ("name", "values", "read"),
    [
        ("WATCHER_LEASE_IDLE_MS", ["0", "-1", "1.5", "x", "86400001", "١٢"], settings.lease_idle_ms),
        ("REDIS_TIMEOUT_SECONDS", ["0", "-1", "x", "nan", "inf", "601"], settings.redis_timeout_seconds),
        ("KEY_PREFIX", ["a\nb", "a\x1bb"], settings.key_prefix),
    ],
)
def test_a_value_out_of_bounds_is_refused_with_its_name(
    name: str, values: list[str], read: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(read)
    for value in values:
        monkeypatch.setenv(name, value)
        with pytest.raises(InputError, match=name):
            read()


@pytest.mark.parametrize(
    "arguments",
    [
        ["enqueue", "/nowhere.yaml"],
        ["enqueue-beatsheet", "/nowhere.json", "--voice", "newsroom"],
        ["report", "/nowhere.yaml"],
        ["retry", "a"],
        ["flush"],
        ["history", "--limit", "0"],
    ],
)
def test_a_mistake_is_told_before_redis_is_loaded(arguments: list[str]) -> None:
    code = f"import sys; from cli.main import main; print(main({arguments!r})); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    exit_code, modules = done.stdout.splitlines()
    assert exit_code == "2", done.stderr
    assert not {"redis", "boto3", "pydantic", "prometheus_client"} & set(modules.split())


def test_a_redis_command_loads_neither_pydantic_nor_prometheus_nor_yaml(tmp_path: Path) -> None:
    code = (
        "import sys; from cli.main import main; main(['status', '--redis-url', 'redis://127.0.0.1:1/0']);"
        "print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    modules = set(done.stdout.split())
    assert "redis" in modules
    assert not {"boto3", "pydantic", "prometheus_client", "yaml"} & modules
