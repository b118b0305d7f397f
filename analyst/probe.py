"""A program of `understudy.sandbox` that tries to break out, and reports each attempt that succeeded."""

import json
import os
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from analyst import confine as confinement

confined: Final = dict[str, bool]()
"""The kinds of confinement in force (see `Confined`), once `confine` has run."""

SOCKETS: Final = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)


def prepare() -> None:
    """Do nothing: all modules are imported above."""


def confine(read: Sequence[str], write: Sequence[str]) -> None:
    """Confine this process in the same way as the process of a table."""
    confined.update(confinement.confine(read, write)._asdict())


def main() -> int:
    """Read the attempts from standard input, make them, and write the report as JSON; return the exit code.

    The attempts are an object: `files` to read and `made` to make, `program` to run, `process` to signal.
    """
    attempts = json.load(sys.stdin.buffer)
    report = {
        **confined,
        "read": [path for path in attempts["files"] if _works(Path(path).read_bytes)],
        "made": [path for path in attempts["made"] if _works(Path(path).write_text, "made")],
        "sockets": [family.name for family in SOCKETS if _works(socket.socket, family)],
        "processes": _works(_fork),
        "programs": _works(os.execv, attempts["program"], [attempts["program"]]),
        "signals": _works(os.kill, attempts["process"], 0),
        "environment": sorted(os.environ),
    }
    sys.stdout.write(json.dumps(report))
    return 0


def _works(attempt: Callable[..., Any], *arguments: Any) -> bool:
    try:
        attempt(*arguments)
    except OSError:
        return False
    return True


def _fork() -> None:
    if not (child := os.fork()):
        os._exit(0)
    os.waitpid(child, 0)
