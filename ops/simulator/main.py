"""`./run simulator`: starts the marketplace, or shows one that runs.

Owns the command line, the state folder, and the end: on SIGTERM, SIGINT or SIGHUP every box is destroyed first.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import os
import secrets
import shutil
import signal
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from pathlib import Path

from ops.simulator import lifecycle
from ops.simulator.control import check_possible
from ops.simulator.faults import FaultError
from ops.simulator.scenario import Scenario, ScenarioError, read_scenario
from ops.simulator.server import Server
from ops.simulator.tools import MissingToolError, find_tools
from ops.simulator.world import World

_CREDIT_CHECK_SECONDS = 0.5
_DEFAULT_URL = "http://127.0.0.1:8799"


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        return show(options) if options.show else serve(options)
    except (ScenarioError, MissingToolError, FaultError) as error:
        print(f"simulator: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="simulator",
        description="A marketplace of GPU boxes on this machine, to rehearse with: the API of Vast.ai, boxes that are"
        " real SSH servers, a bill by the second, and every fault on demand. docs/simulator.md explains it.",
    )
    parser.add_argument("--show", "--json", action="store_true", help="print boxes, money and faults of a running one")
    parser.add_argument("--url", default=os.environ.get("VAST_URL", _DEFAULT_URL), help="with --show: where it runs")
    parser.add_argument("--port", type=int, default=8799, help="port of the API and the page; 0 takes a free one")
    parser.add_argument("--scenario", type=Path, help="YAML file with seed, speed, money, boot times and faults")
    parser.add_argument("--seed", type=int, help="seed of machines, boot times and faults")
    parser.add_argument("--speed", type=float, help="divide every wait by this: at 60 a minute of boot takes a second")
    parser.add_argument("--folder", type=Path, help="where ledger.jsonl stays; without it, gone at the end")
    return parser


def show(options: argparse.Namespace) -> int:
    """Print what a running simulator knows, as JSON."""
    try:
        with urllib.request.urlopen(f"{options.url.rstrip('/')}/simulator", timeout=10) as reply:
            state = json.load(reply)
    except (OSError, ValueError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        print(f"simulator: {options.url} does not answer as a simulator does: {reason}", file=sys.stderr)
        return 1
    del state["possible_faults"]
    print(json.dumps(state, indent=2))
    return 0


def serve(options: argparse.Namespace) -> int:
    """Be the marketplace until told to stop."""
    scenario = read_scenario(options.scenario) if options.scenario else Scenario()
    given = {name: getattr(options, name) for name in ("seed", "speed") if getattr(options, name) is not None}
    if not 0.01 <= given.get("speed", 1.0) <= 10_000:
        raise ScenarioError(f"--speed {given['speed']:g} is not from 0.01 to 10000")
    # Whoever has the key can run programs on boxes, which is to say as us: no well-known key unless it was asked for.
    scenario = dataclasses.replace(scenario, api_key=scenario.api_key or secrets.token_hex(16), **given)
    logging.basicConfig(level=logging.WARNING, format="simulator: %(message)s")
    tools = find_tools()
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: stopping.set())
    folder = options.folder or Path(tempfile.mkdtemp(prefix="simulator-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        world = World(scenario, tools, folder.absolute())
        for rule in scenario.faults:
            check_possible(world, rule)
        return _serve_until(stopping, world, options.port)
    finally:
        if options.folder is None:
            shutil.rmtree(folder, ignore_errors=True)


def _serve_until(stopping: threading.Event, world: World, port: int) -> int:
    try:
        server = Server("127.0.0.1", port, world)
    except OSError as error:
        print(f"simulator: port {port} cannot be used: {error.strerror}; choose one with --port", file=sys.stderr)
        return 1
    failed = threading.Event()

    def give_up() -> None:
        failed.set()
        stopping.set()

    world.scheduler.on_failure = give_up
    world.scheduler.start()
    _watch_credit(world)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    _announce(server, world)
    stopping.wait()
    server.closing.set()
    server.shutdown()
    server.server_close()
    world.scheduler.stop()
    with world.lock:
        spent = _end(world)
    print(f"simulator: every box is destroyed; ${spent:.4f} were spent", flush=True)
    return 1 if failed.is_set() else 0


def _end(world: World) -> float:
    for instance in list(world.instances.values()):
        lifecycle.destroy(world, instance)
    total = world.ledger.total(world.clock.now())
    world.ledger.close(world.clock.now())
    return total


def _announce(server: Server, world: World) -> None:
    lines = {
        "page": server.url,
        "VAST_URL": server.url,
        "VAST_API_KEY": world.scenario.api_key,
        "folder": str(world.folder),
    }
    print("simulator: ready", *(f"{name}={value}" for name, value in lines.items()), flush=True)
    if world.tools.login != "root":
        print(
            f"simulator: log in to boxes as {world.tools.login}: an ordinary user's sshd admits nobody else, unless"
            " libnss_wrapper.so is installed (Debian and Ubuntu: `apt-get install libnss-wrapper`); then it is root",
            file=sys.stderr,
            flush=True,
        )


def _watch_credit(world: World) -> None:
    """Stop every box when the money is gone, as the marketplace does."""

    def look() -> None:
        with world.lock:
            if world.credit() <= 0:
                for instance in list(world.instances.values()):
                    if instance.status == "running" or instance.generation == 0:
                        lifecycle.stop(world, instance)
        world.scheduler.after(_CREDIT_CHECK_SECONDS, look)

    world.scheduler.after(0.0, look)
