"""What the servers of peers do beside serving: listen on a free port on the first core, and say it. No libraries."""

from __future__ import annotations

import gc
import os
import resource
import socket


def announced() -> socket.socket:
    """Return a listener on a free port of 127.0.0.1 that is printed, on the first core, with as many files as allowed.

    The collector looks less at what stays, as ours does.
    """
    os.sched_setaffinity(0, {0})
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    listener.setblocking(False)
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)
    print(listener.getsockname()[1], flush=True)
    return listener
