"""Takes supervisord down when one of its programs cannot be kept alive, and says why.

An event listener of supervisord: standard input and output carry its protocol, standard error is the log. Owns the
reaction to FATAL (a marker for `ops.supervisor.main`, then SIGTERM to supervisord) and a log line for each death of
a program. Refuses to restart anything: that is supervisord's own work. Standard library only.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path


def words(line: str) -> dict[str, str]:
    """`a:1 b:2` as a dict: how supervisord writes headers and payloads."""
    return dict(word.split(":", 1) for word in line.split())


def log(level: str, message: str, program: str, event: str) -> None:
    line = {
        "ts": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": level,
        "process": "supervisor",
        "msg": message,
        "program": program,
        "event": event,
    }
    sys.stderr.write(json.dumps(line) + "\n")
    sys.stderr.flush()


def react(event: str, payload: dict[str, str], run_dir: Path, supervisord_pid: int) -> None:
    """Log one event; at FATAL leave the marker, then ask supervisord to stop everything."""
    program = payload.get("processname", "?")
    if event == "PROCESS_STATE_FATAL":
        log("critical", "program cannot be kept alive, stopping everything", program, event)
        marker = run_dir / "fatal"
        marker.with_suffix(".new").write_text(program + "\n", encoding="utf-8")
        marker.with_suffix(".new").replace(marker)
        os.kill(supervisord_pid, signal.SIGTERM)
    elif event == "PROCESS_STATE_BACKOFF":
        log("error", "program ended while starting, will be tried again", program, event)
    elif payload.get("expected") == "0":
        log("error", "program died, will be restarted", program, event)
    else:
        log("info", "program ended", program, event)


def main() -> int:
    run_dir = Path(os.environ["SUPERVISOR_RUN_DIR"])
    supervisord_pid = os.getppid()
    while True:
        sys.stdout.write("READY\n")
        sys.stdout.flush()
        line = sys.stdin.readline()
        if not line:
            return 0  # supervisord is gone
        header = words(line)
        payload = words(sys.stdin.read(int(header["len"])).partition("\n")[0])
        react(header["eventname"], payload, run_dir, supervisord_pid)
        sys.stdout.write("RESULT 2\nOK")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
