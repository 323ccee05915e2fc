"""One JSON object a line on standard output, with secrets taken out.

Owns the shape of a log line and what may not appear in it. Refuses to decide what is logged: callers pass a
message and fields (`logger.info("batch leased", extra={"batch_id": ...})`), and never a secret; what slips
into a text all the same (the password of a URL, a value given to `hide`) is replaced here.
"""

from __future__ import annotations

import json
import logging
import math
import re
import sys
import time
from typing import TextIO

REDACTED = "***"

_URL_PASSWORD = re.compile(r"(?P<head>\b[a-zA-Z][a-zA-Z0-9+.-]*://[^\s/@:?#]*:)[^\s/]*@")
_SECRET_QUERY = re.compile(r"(?i)(?P<head>[?&](?:password|token|secret|signature|x-amz-[a-z-]+)=)[^&\s\"']+")
_STANDARD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_OWN_FIELDS = frozenset({"ts", "level", "process", "logger", "msg", "exception"})

_hidden: set[str] = set()


def hide(secret: str) -> None:
    """Replace this value wherever a log line would show it; blank and very short ones are ignored."""
    if len(secret) >= 4:
        _hidden.add(secret)


def redact_url(url: str) -> str:
    """The same URL, its password and secret query values replaced."""
    return _SECRET_QUERY.sub(rf"\g<head>{REDACTED}", _URL_PASSWORD.sub(rf"\g<head>{REDACTED}@", url))


def redact(text: str) -> str:
    """A text without passwords of URLs and without any value given to `hide`."""
    if "://" in text or "=" in text:
        text = redact_url(text)
    for secret in _hidden:
        if secret in text:
            text = text.replace(secret, REDACTED)
    return text


class JsonFormatter(logging.Formatter):
    """One line of ts (UTC, milliseconds), level, process, logger, msg, the extra fields, exception."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, object] = {
            "ts": f"{whole}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "process": self._process,
            "logger": record.name,
            "msg": redact(record.getMessage()),
        }
        for name, value in vars(record).items():
            if name not in _STANDARD_FIELDS:
                line[f"{name}_" if name in _OWN_FIELDS else name] = _plain(value)
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = {
                "type": record.exc_info[0].__name__,
                "message": redact(str(record.exc_info[1])),
                "traceback": redact(self.formatException(record.exc_info)),
            }
        return json.dumps(line, allow_nan=False)


def _plain(value: object) -> object:
    """A value as JSON can carry it, its texts redacted; what JSON does not know becomes its text."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return redact(str(value))


def setup_logging(process: str, level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send every log line of this process to standard output as JSON; replaces what was set up before."""
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ValueError(f"log level {level!r} is none of DEBUG, INFO, WARNING, ERROR, CRITICAL")
    handler = logging.StreamHandler(stream if stream is not None else sys.stdout)
    handler.setFormatter(JsonFormatter(process))
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(number)
    logging.captureWarnings(True)
    # These narrate each request at INFO and DEBUG, and hold headers that are nobody's business.
    for chatty in ("botocore", "boto3", "urllib3", "s3transfer"):
        logging.getLogger(chatty).setLevel(max(number, logging.WARNING))
