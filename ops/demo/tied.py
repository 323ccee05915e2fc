"""Starts programs that end with whoever started them, however that one ends.

Owns the wrapper that asks the kernel for a signal at the parent's death and then becomes the program. Where
the kernel has no such thing (not Linux) the program simply runs; its starter's clean-up is then all there is.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

_WRAPPER = """\
import os, sys
number, parent, program = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
if sys.platform == "linux":
    import ctypes
    ctypes.CDLL(None, use_errno=True).prctl(1, number, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)
os.execvp(program[0], program)
"""


def tied(program: Sequence[str], parent_pid: int, number: signal.Signals = signal.SIGTERM) -> list[str]:
    """The command line that runs `program` and sends it `number` when the process `parent_pid` dies.

    A wrapper rather than a `preexec_fn`: the latter forks Python code in a process that may have threads.
    """
    return [sys.executable, "-I", "-S", "-c", _WRAPPER, str(int(number)), str(parent_pid), *program]
