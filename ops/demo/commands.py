"""The demo's way to the queue: `job-runner` as a program, as any operator would use it.

Owns running commands against the demo's Redis and reading their JSON. Refuses to import the command line.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from ops.demo.line import DemoError

FINAL = frozenset({"done", "failed", "cancelled"})


class JobRunner:
    """`job-runner` with the demo's environment."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)

    def show(self, *arguments: str) -> None:
        """Run a command whose output is for the reader; raises DemoError when it fails."""
        print(f"$ job-runner {' '.join(arguments)}", flush=True)
        if self._run(*arguments, capture=False).returncode != 0:
            raise DemoError(f"`job-runner {arguments[0]}` failed, see above")
        print(flush=True)

    def ask(self, *arguments: str) -> Any:
        """Run a command with --json and return what it prints; raises DemoError when it fails."""
        answer = self._run(*arguments, "--json", capture=True)
        try:
            data = json.loads(answer.stdout)
        except ValueError as error:
            raise DemoError(f"`job-runner {arguments[0]} --json` printed no JSON: {answer.stderr.strip()}") from error
        if answer.returncode != 0 and "error" in data:
            raise DemoError(f"`job-runner {arguments[0]}`: {data['error'].get('message')}")
        return data

    def states(self, file: str) -> dict[str, str]:
        """The state of each job of a YAML file by request id, in the file's order."""
        return {job["request_id"]: str(job["status"]) for job in self.ask("report", file)["jobs"]}

    def _run(self, *arguments: str, capture: bool) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-m", "cli", *arguments],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=capture,
            text=True,
            check=False,
            timeout=120,
        )
