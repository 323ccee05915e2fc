"""Log lines: one JSON object each, whatever is logged, and never a secret."""

from __future__ import annotations

import io
import json
import logging
import math
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lib.telemetry import logs
from lib.telemetry.logs import JsonFormatter, hide, redact_url, setup_logging


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Log into memory, and put the test runner's own logging back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = []
    stream = io.StringIO()
    setup_logging("watcher", "DEBUG", stream)
    yield stream
    logging.captureWarnings(False)
    logs._hidden.clear()
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    def refuse(constant: str) -> object:
        raise AssertionError(f"{constant} is not JSON")

    return [json.loads(line, parse_constant=refuse) for line in stream.getvalue().splitlines()]


def test_a_line_has_time_level_process_message_and_the_callers_fields(stream: io.StringIO) -> None:
    logging.getLogger("watcher.loop").info("batch %s leased", "b-1", extra={"jobs": 3, "voices": ("a", "b")})
    (line,) = lines(stream)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("ts"))
    assert line == {
        "level": "info",
        "process": "watcher",
        "logger": "watcher.loop",
        "msg": "batch b-1 leased",
        "jobs": 3,
        "voices": ["a", "b"],
    }


def test_line_breaks_odd_numbers_and_lone_surrogates_stay_within_one_line_of_json() -> None:
    record = logging.makeLogRecord({"msg": "two\nlines \ud800", "score": math.nan, "where": Path("/"), "of": {1: {2}}})
    text = JsonFormatter("watcher").format(record)
    (line,) = lines(io.StringIO(text))
    assert line["msg"] == "two\nlines \ud800"
    assert (line["score"], line["where"], line["of"]) == ("nan", "/", {"1": [2]})


def test_an_exception_is_a_field_with_its_traceback(stream: io.StringIO) -> None:
    try:
        int("redis://:hunter2@cache/0")
    except ValueError:
        logging.getLogger().exception("failed")
    exception = lines(stream)[0]["exception"]
    assert exception["type"] == "ValueError"
    assert exception["message"].endswith("'redis://:***@cache/0'")
    assert "Traceback" in exception["traceback"]
    assert "hunter2" not in stream.getvalue()


def test_hidden_values_and_passwords_in_urls_never_appear(stream: io.StringIO) -> None:
    hide("wJalrXUtnFEMI")
    hide("")
    logging.getLogger().info(
        "key %s",
        "wJalrXUtnFEMI",
        extra={"url": "rediss://app:s3cr3t@h:1/0", "deep": [{"k": "xwJalrXUtnFEMIx"}]},
    )
    text = stream.getvalue()
    assert "wJalrXUtnFEMI" not in text
    assert "s3cr3t" not in text
    assert lines(stream)[0]["msg"] == "key ***"


def test_warnings_are_log_lines(stream: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old", UserWarning, stacklevel=1)
        logging.captureWarnings(False)
    assert lines(stream)[0]["logger"] == "py.warnings"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("redis://:pass@host:6379/0", "redis://:***@host:6379/0"),
        ("redis://user:p@ss@host/0", "redis://user:***@host/0"),
        ("https://h/b?X-Amz-Signature=abc&part=1", "https://h/b?X-Amz-Signature=***&part=1"),
        ("redis://host/0?password=abc", "redis://host/0?password=***"),
        ("no url at all", "no url at all"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert redact_url(url) == shown


def test_an_unknown_level_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="log level 'loud' is none of DEBUG"):
        setup_logging("watcher", "loud")
