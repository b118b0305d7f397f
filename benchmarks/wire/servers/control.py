"""What every server process does beside serving: says its port, tells its memory, and ends with its benchmark."""

from __future__ import annotations

import gc
import os
import resource
import socket
import sys
import threading
from pathlib import Path

CORE = 0
"""The core that servers run on; clients have the last one."""


def pin() -> None:
    """Keep this process on the servers' core, and let it open as many files as it may."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {CORE})
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def listen() -> socket.socket:
    """A listener on a free port of 127.0.0.1 that does not block."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    listener.setblocking(False)
    return listener


def freeze() -> None:
    """Have the collector look less at what stays, as the product does: for every server in Python alike."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)


def announce(port: int) -> None:
    """Tell the port on the standard output, then answer `memory` lines until the input ends; then so does the process.

    The answer is the resident bytes after a full collection.
    """
    print(port, flush=True)
    threading.Thread(target=_answer, daemon=True).start()


def _answer() -> None:
    for line in sys.stdin:
        if line.strip() == "memory":
            print(memory(), flush=True)
    os._exit(0)


def memory() -> int:
    """Resident bytes of this process, after a full collection."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()
