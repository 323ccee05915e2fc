"""Which method and path leads where, under which name of endpoint.

Owns the table. The endpoint's name is what pacing and faults go by.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from ops.simulator import routes_access as access
from ops.simulator import routes_instances as instances
from ops.simulator import routes_offers as offers
from ops.simulator.http_types import Answer, Request
from ops.simulator.world import World

Handler = Callable[[World, Request], Answer]


@dataclass(frozen=True)
class Route:
    """One line of the table; `paced` is the name of its pacing limit where that differs from the endpoint's."""

    method: str
    pattern: re.Pattern[str]
    endpoint: str
    handler: Handler
    keyless: bool = False
    own_key: bool = False
    paced: str | None = None


def table(results: access.Results) -> list[Route]:
    """Every route of the API."""
    return [
        _route("POST", "v0/bundles", "search", offers.search),
        _route("PUT", "v0/search/asks", "search", offers.search_asks),
        _route("PUT", "v0/asks/{id}", "create", offers.create),
        _route("GET", "v0/instances", "list", instances.list_v0),
        _route("PUT", "v0/instances", "state", instances.change_many),
        _route("DELETE", "v0/instances", "destroy", instances.destroy_many),
        _route("GET", "v0/instances/filters", "other", instances.filters),
        _route("GET", "v0/instances/{id}", "show", instances.show, own_key=True),
        _route("PUT", "v0/instances/{id}", "state", instances.change, own_key=True),
        _route("DELETE", "v0/instances/{id}", "destroy", instances.destroy, own_key=True),
        _route("GET", "v1/instances", "list", instances.list_pages),
        _route("PUT", "v0/instances/reboot/{id}", "reboot", instances.reboot),
        _route("PUT", "v0/instances/recycle/{id}", "reboot", instances.recycle),
        _route("PUT", "v0/instances/bid_price/{id}", "bid", instances.change_bid),
        _route("PUT", "v0/instances/request_logs/{id}", "logs", partial(access.logs, results=results)),
        _route("PUT", "v0/instances/command/{id}", "execute", partial(access.execute, results=results)),
        _route("POST", "v0/instances/{id}/ssh", "attach", access.attach_key),
        _route("GET", "v0/instances/{id}/ssh", "attach", access.instance_keys),
        _route("DELETE", "v0/instances/{id}/ssh/{key}", "attach", access.detach_key, paced="detach"),
        _route("POST", "v0/ssh", "keys", access.add_key),
        _route("GET", "v0/ssh", "keys", access.list_keys),
        _route("PUT", "v0/ssh/{id}", "keys", access.update_key),
        _route("DELETE", "v0/ssh/{id}", "keys", access.delete_key),
        _route("GET", "v0/users/current", "user", access.user),
        _route("GET", "v0/charges", "charges", access.charges),
        _route("GET", "v1/invoices", "invoices", access.invoices),
        _route("GET", "v0/gpu_names/unique", "other", access.gpu_names, keyless=True),
        _route("GET", "v0/gpu_types", "other", access.gpu_types, keyless=True),
    ]


def _route(
    method: str,
    path: str,
    endpoint: str,
    handler: Handler,
    *,
    keyless: bool = False,
    own_key: bool = False,
    paced: str | None = None,
) -> Route:
    pattern = re.compile("/+api/" + re.sub(r"\{(\w+)\}", r"(?P<\1>\\d+)", path) + "/?")
    return Route(method, pattern, endpoint, handler, keyless, own_key, paced)
