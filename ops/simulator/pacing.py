"""The marketplace's limits on how often one may call.

Owns the least seconds between two calls of an endpoint by one key, the penalty of create, and the searches a minute.
"""

from __future__ import annotations

import threading
from collections import deque

LEAST_SECONDS = {
    "create": 4.5, "show": 2.0, "list": 1.0, "destroy": 3.0, "state": 1.0, "bid": 5.5, "reboot": 1.0, "keys": 1.0,
    "detach": 2.0, "execute": 1.5, "charges": 1.0, "invoices": 3.0,
}  # fmt: skip
_PENALTY_SECONDS = {"create": 12.0}
_SEARCHES, _SEARCH_WINDOW_SECONDS = 10, 60.0


class Pacing:
    """When each key may call which endpoint again; `speed` divides every limit."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._lock = threading.Lock()
        self._next: dict[tuple[str, str], float] = {}
        self._searches: dict[str, deque[float]] = {}

    def refuses(self, endpoint: str, key: str, now: float) -> str | None:
        """Count a call; the marketplace's words when it comes too soon."""
        with self._lock:
            if endpoint == "search":
                return self._refuses_search(key, now)
            least = LEAST_SECONDS.get(endpoint)
            if least is None:
                return None
            if now < self._next.get((endpoint, key), 0.0):
                if endpoint in _PENALTY_SECONDS:
                    self._next[(endpoint, key)] = now + _PENALTY_SECONDS[endpoint] / self._speed
                return f"API requests too frequent: endpoint threshold={least}"
            self._next[(endpoint, key)] = now + least / self._speed
            return None

    def _refuses_search(self, key: str, now: float) -> str | None:
        made = self._searches.setdefault(key, deque())
        while made and made[0] <= now - _SEARCH_WINDOW_SECONDS / self._speed:
            made.popleft()
        if len(made) >= _SEARCHES:
            return f"API requests too frequent: endpoint threshold={_SEARCH_WINDOW_SECONDS / _SEARCHES}"
        made.append(now)
        return None
