"""What a route gets and what it gives back.

Owns the request, the answer and the error that becomes an answer, in the marketplace's shapes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ops.simulator.instance import Instance


@dataclass(frozen=True)
class Request:
    """One call of the API. `own` is the instance whose restricted key it carries, None for the account's key."""

    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Mapping[str, Any]
    own: Instance | None
    base_url: str

    def number(self, name: str = "id") -> int:
        """A whole number of the path."""
        return int(self.path[name])

    def json_query(self, name: str, default: Any) -> Any:
        """A query value that holds JSON."""
        if name not in self.query:
            return default
        try:
            return json.loads(self.query[name])
        except ValueError:
            raise ApiError(400, "invalid_args", f"{name} is not JSON") from None


@dataclass(frozen=True)
class Answer:
    """What goes back: JSON data, or text."""

    data: Any = None
    status: int = 200
    text: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self) -> tuple[bytes, str]:
        """Bytes and content type, which is exactly `application/json` for JSON: the CLI insists."""
        if self.text is not None:
            return self.text.encode(), "text/plain; charset=utf-8"
        return json.dumps(self.data).encode(), "application/json"


class ApiError(Exception):
    """A refusal in the marketplace's shape, perhaps with more fields."""

    def __init__(self, status: int, error: str, msg: str, **more: Any) -> None:
        super().__init__(f"{status} {error}: {msg}")
        self.answer = Answer({"success": False, "error": error, "msg": msg, **more}, status)
