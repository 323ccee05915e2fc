"""The catalogue of metrics follows the Prometheus rules, and docs/metrics.md lists exactly it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from lib.telemetry import metrics

ROOT = Path(__file__).resolve().parents[3]
CATALOGUE = [metrics.WatcherMetrics, metrics.ProvisionerMetrics, metrics.UploaderMetrics, metrics.CommandMetrics]
BOUNDED_LABELS = {"state", "outcome", "error_type", "command", "exit_code", "status"}


def declared(cls: type) -> dict[str, tuple[str, tuple[str, ...], str]]:
    registry = CollectorRegistry()
    cls(registry)
    return {
        one._name + ("_total" if one._type == "counter" else ""): (one._type, one._labelnames, one._documentation)
        for one in registry._collector_to_names
    }


@pytest.mark.parametrize("cls", CATALOGUE)
def test_names_carry_the_prefix_and_a_help_text_and_no_unbounded_label(cls: type) -> None:
    for name, (kind, labels, text) in declared(cls).items():
        assert re.fullmatch(r"jobrunner_[a-z0-9_]+", name)
        assert text.endswith("."), name
        assert set(labels) <= BOUNDED_LABELS, name
        if kind == "histogram":
            assert name.endswith("_seconds")


def test_the_page_of_metrics_lists_exactly_the_catalogue() -> None:
    page = set(re.findall(r"^\| `(jobrunner_\w+)` \|", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE))
    assert page == {name for cls in CATALOGUE for name in declared(cls)}


def test_no_metric_is_declared_outside_the_catalogue() -> None:
    sources = [
        path
        for folder in ("cli", "watcher", "provisioner", "uploader", "synth", "lib", "ops")
        for path in (ROOT / folder).rglob("*.py")
        if path != ROOT / "lib/telemetry/metrics.py"
    ]
    assert sources
    pattern = re.compile(r"\b(Counter|Gauge|Histogram|Summary|Info|Enum)\(\s*[\"']jobrunner_")
    assert [str(path) for path in sources if pattern.search(path.read_text())] == []
