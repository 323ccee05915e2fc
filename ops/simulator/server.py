"""The HTTP server: reads a call, applies the faults that concern calls, and answers.

Owns authentication, pacing, and how answers get lost. What a call means is the routes' business.
"""

from __future__ import annotations

import json
import logging
import socket
import sys
import threading
from collections.abc import Mapping
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from ops.simulator.control import Control
from ops.simulator.http_types import Answer, ApiError, Request
from ops.simulator.pacing import Pacing
from ops.simulator.routes import Route, table
from ops.simulator.routes_access import Results
from ops.simulator.world import World

_log = logging.getLogger(__name__)
_MOST_BODY_BYTES = 1_000_000
_NOT_JSON = "<html><body><h1>502 Bad Gateway</h1></body></html>"


class Server(ThreadingHTTPServer):
    """The marketplace on one port."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, host: str, port: int, world: World) -> None:
        super().__init__((host, port), Handler)
        self.world = world
        self.results = Results()
        self.routes = table(self.results)
        self.pacing = Pacing(world.scenario.speed)
        self.control = Control(world)
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{self.server_address[0]!s}:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Report a bug; a client that has left is none."""
        if isinstance(sys.exc_info()[1], OSError):
            return
        _log.error("serving %s failed", client_address, exc_info=True)


class _ReplyLost(Exception):
    """The answer is not to be delivered."""


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version = "simulator"

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        _log.debug(format, *args)

    def _serve(self) -> None:
        try:
            answer = self._answer()
        except ApiError as error:
            answer = error.answer
        except _ReplyLost:
            self.close_connection = True
            return
        body, kind = answer.body()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.headers.get("Content-Type", kind))
        self.send_header("Content-Length", str(len(body)))
        for name, value in answer.headers.items():
            if name != "Content-Type":
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _answer(self) -> Answer:
        body = self._body()
        parts = urlsplit(self.path)
        world = self.server.world
        if not parts.path.lstrip("/").startswith("api/"):
            if parts.path.startswith("/results/"):
                text = self.server.results.get(parts.path.removeprefix("/results/"), world.clock.now())
                return Answer(text=text) if text is not None else Answer(text="not ready", status=403)
            return self.server.control.answer(self.command, parts.path, self.headers, body)
        route, path = self._route(parts.path)
        request = Request(path, dict(parse_qsl(parts.query, keep_blank_values=True)), body, None, self.server.url)
        key = ""
        if not route.keyless:
            key = self._key()
            request = replace(request, own=self._own(key, route))
        return self._with_faults(route, request, key)

    def _with_faults(self, route: Route, request: Request, key: str) -> Answer:
        """Answer a call as a marketplace does on which not everything goes well."""
        world, endpoint = self.server.world, route.endpoint
        strikes = {one.fault: one.parameters for one in world.faults.strikes("request", endpoint)}
        if "slow" in strikes:
            self.server.closing.wait(world.clock.shortened(strikes["slow"]["seconds"]))
        if "throttled" in strikes:
            return _throttled(endpoint, strikes["throttled"])
        if "server_error" in strikes:
            status = int(strikes["server_error"]["status"])
            return Answer({"success": False, "error": "server_error", "msg": "Internal error."}, status)
        if world.scenario.pacing:
            refusal = self.server.pacing.refuses(route.paced or endpoint, key, world.clock.now())
            if refusal is not None:
                return Answer(text=refusal, status=429)
        with world.lock:
            try:
                answer = route.handler(world, request)
            except ApiError as error:
                answer = error.answer
        if "gone_as_list" in strikes and answer.data == {"instances": None}:
            answer = Answer({"instances": []})
        if "reply_lost" in strikes:
            return self._lose_reply(strikes["reply_lost"])
        if "not_json" in strikes:
            return Answer(text=_NOT_JSON, headers={"Content-Type": "text/html"})
        return answer

    def _lose_reply(self, parameters: Mapping[str, Any]) -> Answer:
        if parameters["how"] == "502":
            return Answer(text=_NOT_JSON, status=502, headers={"Content-Type": "text/html"})
        if parameters["how"] == "silence":
            self.server.closing.wait(self.server.world.clock.shortened(parameters["hold"]))
        self.connection.shutdown(socket.SHUT_RDWR)
        raise _ReplyLost

    def _body(self) -> dict[str, Any]:
        try:
            size = int(self.headers.get("Content-Length") or 0)
        except ValueError:
            size = _MOST_BODY_BYTES + 1
        if size > _MOST_BODY_BYTES or size < 0:
            self.close_connection = True
            raise ApiError(413, "invalid_args", "the body is too large")
        raw = self.rfile.read(size)
        try:
            body = json.loads(raw) if raw else {}
        except ValueError:
            raise ApiError(400, "invalid_args", "the body is not JSON") from None
        if not isinstance(body, dict):
            raise ApiError(400, "invalid_args", "the body is not an object")
        return body

    def _route(self, path: str) -> tuple[Route, Mapping[str, str]]:
        for route in self.server.routes:
            match = route.pattern.fullmatch(path)
            if match and route.method == self.command:
                return route, match.groupdict()
        raise ApiError(404, "not_found", f"the simulator does not serve {self.command} {path}")

    def _key(self) -> str:
        header = self.headers.get("Authorization", "")
        if not header:
            raise ApiError(403, "auth_error", "No API key was given.")
        return header.removeprefix("Bearer ").strip()

    def _own(self, key: str, route: Route) -> Any:
        """The instance a restricted key belongs to; None for the account's key."""
        world = self.server.world
        if key == world.scenario.api_key:
            return None
        with world.lock:
            owner = world.owner_of(key)
        if owner is None:
            raise ApiError(404, "auth_error", "Invalid user key")
        if not route.own_key:
            raise ApiError(403, "forbidden", "This key may only show, start, stop and destroy its own instance.")
        return owner


def _throttled(endpoint: str, parameters: Mapping[str, Any]) -> Answer:
    after = parameters["retry_after"]
    headers = {} if after is None else {"Retry-After": f"{after:g}"}
    msg = f"API requests too frequent: endpoint threshold=5.0 ({endpoint})"
    if parameters["form"] == "text":
        return Answer(text=msg, status=429, headers=headers)
    bodies = {
        "json": {"success": False, "error": "rate_limit_exceeded", "msg": msg},
        "detail": {"detail": msg},
        "quota": {"success": False, "error": "search_quota_exceeded", "msg": "Daily search quota exceeded."},
    }
    return Answer(bodies[parameters["form"]], 429, headers=headers)
