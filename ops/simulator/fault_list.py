"""Every fault the simulator can cause: its name, when it is decided, its parameters and what it does.

Owns the list that the control page, the scenario file and the documents read. Durations are in seconds of the real
marketplace: the simulator's speed divides them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

ENDPOINTS = (
    "search", "create", "show", "list", "destroy", "state", "reboot", "bid", "attach", "keys", "logs", "execute",
    "user", "charges", "invoices", "other",
)  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """One kind of fault. `moment`: decided at each request, at each create, or once for each new box."""

    moment: str
    about: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    choices: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)


PULL_ERRORS = {
    "pull_denied": "Error response from daemon: pull access denied for {image}, repository does not exist",
    "manifest_unknown": "Error response from daemon: manifest for {image} not found: manifest unknown",
    "no_space": "Error response from daemon: write /var/lib/docker/tmp: no space left on device",
    "unexpected_eof": "Error response from daemon: unexpected EOF",
}

_REQUEST = {
    "throttled": Fault(
        "request",
        "429, not applied; `form` is the kind of body, `retry_after` the header (null: none)",
        {"form": "text", "retry_after": None},
        {"form": ("text", "json", "detail", "quota")},
    ),
    "server_error": Fault("request", "an error status, not applied", {"status": 500}, {"status": (500, 502, 503, 504)}),
    "reply_lost": Fault(
        "request",
        "the request is applied, its answer is not delivered: connection dropped, a 502, or silence for `hold` seconds",
        {"how": "drop", "hold": 150.0},
        {"how": ("drop", "502", "silence")},
    ),
    "not_json": Fault("request", "the request is applied and answered 200 with a page that is not JSON"),
    "gone_as_list": Fault("request", "show answers an empty list, not null, for an instance that is gone"),
    "slow": Fault("request", "the answer takes `seconds` longer", {"seconds": 5.0}),
}

_CREATE = {
    "ask_gone": Fault(
        "create", "the offer has vanished: 404, 410 or 400", {"status": 404}, {"status": (404, 410, 400)}
    ),
    "create_refused": Fault("create", '200 with `"success": false`, nothing rented'),
    "create_error_with_contract": Fault(
        "create", "an error answer that still holds `new_contract`: a stopped instance that bills storage"
    ),
    "insufficient_credit": Fault("create", "refused for want of credit"),
    "spend_rate_limit": Fault("create", "refused by the spend limit of new accounts"),
}

_STATUS = {
    "stuck_null": Fault("box", "stays at status null"),
    "stuck_loading": Fault("box", "loads without end, with a status message that no longer changes"),
    "image_error": Fault(
        "box",
        "never leaves loading; the status message tells why",
        {"text": "pull_denied"},
        {"text": tuple(PULL_ERRORS)},
    ),
    "oci_failed": Fault("box", "stays at created with an OCI runtime error"),
    "exited": Fault("box", "the container ends `after_seconds` after it ran", {"after_seconds": 0.0}),
    "offline": Fault(
        "box",
        "`after_seconds` after running, the host is unreachable, its status as given; back after `for_seconds`",
        {"after_seconds": 10.0, "for_seconds": 60.0, "status": "offline"},
        {"status": ("offline", "unknown")},
    ),
    "flicker": Fault(
        "box",
        "the status of a healthy box shows loading for a while",
        {"after_seconds": 10.0, "for_seconds": 5.0},
    ),
    "outbid": Fault(
        "box",
        "an interruptible box is stopped by a higher bid; goes on after `for_seconds` (null: once its bid is raised);"
        " `intended` is what intended_status says meanwhile, reports differ",
        {"after_seconds": 30.0, "for_seconds": None, "intended": "stopped"},
        {"intended": ("stopped", "running")},
    ),
    "box_lost": Fault("box", "the machine dies: every process at once, offline for good", {"after_seconds": 30.0}),
    "reclaimed": Fault(
        "box",
        "the host takes its GPU back: stopped, and storage still billed; starting is refused",
        {"after_seconds": 30.0},
    ),
    "start_refused": Fault("box", "`start` answers 200 with resources_unavailable, and nothing starts"),
    "short_contract": Fault(
        "box",
        "the contract ends `seconds` after it was made: stopped, and deleted later (48 h)",
        {"seconds": 600.0, "deleted_after_seconds": 172_800.0},
    ),
    "invisible": Fault(
        "box",
        "show answers null and the list omits the box for `seconds` after create",
        {"seconds": 5.0, "where": "both"},
        {"where": ("both", "show", "list")},
    ),
}

_CONNECTION = {
    "no_ports": Fault("box", "runs without ever getting a direct port"),
    "ports_late": Fault("box", "the direct port is listed `seconds` after running", {"seconds": 30.0}),
    "ports_change": Fault("box", "the direct port is another one after every stop and start"),
    "direct_refused": Fault("box", "nothing listens on the direct port"),
    "direct_black_hole": Fault("box", "the direct port swallows connections: no answer to connect"),
    "direct_silent": Fault("box", "the direct port accepts connections and says nothing"),
    "proxy_refuses": Fault("box", "the SSH proxy closes connections before its banner"),
    "sshd_late": Fault("box", "sshd answers `seconds` after running", {"seconds": 60.0}),
    "key_late": Fault("box", "keys are accepted `seconds` after sshd answers", {"seconds": 60.0}),
    "key_vanishes": Fault("box", "all keys are lost `after_seconds` after running", {"after_seconds": 3600.0}),
    "wrong_host_key": Fault("box", "another machine answers: its host key is not the one on the box"),
    "host_key_changes": Fault("box", "the host key changes `after_seconds` after running", {"after_seconds": 60.0}),
    "slow_link": Fault("box", "every connection carries at most this", {"bytes_per_second": 50_000}),
    "link_cut": Fault("box", "each connection is cut after so many bytes", {"after_bytes": 500_000}),
    "link_cut_once": Fault(
        "box", "all connections are cut once, `after_seconds` after running", {"after_seconds": 20.0}
    ),
}

_HARDWARE = {
    "small_disk": Fault("box", "the disk is this fraction of what was asked", {"fraction": 0.5}),
    "full_disk": Fault("box", "the home holds no more than this (a real ENOSPC)", {"free_bytes": 1_000_000}),
    "wrong_gpu": Fault("box", "nvidia-smi and the row name another card", {"name": "GTX 1080", "ram_mb": 8192}),
    "broken_gpu": Fault("box", "nvidia-smi fails from `after_seconds` after running on", {"after_seconds": 0.0}),
}

FAULTS: Mapping[str, Fault] = {**_REQUEST, **_CREATE, **_STATUS, **_CONNECTION, **_HARDWARE}
