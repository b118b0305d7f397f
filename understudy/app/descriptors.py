"""File descriptors: at the start, raise the process's limit as far as the connection limit needs."""

import logging
import resource
from typing import Final

log = logging.getLogger(__name__)

RESERVED: Final = 200
"""Descriptors reserved for everything but clients' connections: the database's files or connections, Redis, uploads,
models, pipes of child processes, and clients that are being refused."""
MIN_CONNECTIONS: Final = 16
"""Connections that are served however low the limit of descriptors is."""


def fit_connection_limit(wanted: int) -> int:
    """Return how many connections can be open at once, at most `wanted`; raise the soft limit as far as needed.

    Logs `server.too_few_descriptors` if fewer than `wanted` fit.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + RESERVED
    if soft != resource.RLIM_INFINITY and soft < needed:
        raised = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
        soft = raised
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    held = max(MIN_CONNECTIONS, soft - min(RESERVED, soft // 2))
    log.warning(
        "server.too_few_descriptors",
        extra={
            "open_files": soft,
            "connections_total": wanted,
            "connections_held": held,
            "reserve": soft - held,
            "hint": f"raise the limit of open files (ulimit -n, LimitNOFILE) to {needed}, or lower connections_total",
        },
    )
    return held
