"""What the figures need of others: PostgreSQL and Redis from the binaries on this machine, and nodes of our own."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.figure import all_cores
from benchmarks.peers.home import Missing
from benchmarks.wire.server import Server
from tests.servers.needed import found
from tests.servers.postgresql import Postgres
from tests.servers.redis import Redis

SECRET = "a secret of the benchmark's own, long enough"
_MANY = "10000000"
SETTINGS: Mapping[str, str] = {
    "UNDERSTUDY_SECRET": SECRET,
    "UNDERSTUDY_LOG_LEVEL": "error",
    "UNDERSTUDY_LIMITS_CONNECTIONS_PER_PEER": _MANY,
    "UNDERSTUDY_LIMITS_CONNECTIONS_PER_USER": "1000",
    "UNDERSTUDY_LIMITS_HEARTBEAT_S": "300",
    "UNDERSTUDY_LIMITS_MESSAGES_PER_MINUTE": _MANY,
    "UNDERSTUDY_LIMITS_OPERATIONS_PER_MINUTE": _MANY,
    "UNDERSTUDY_LIMITS_REQUESTS_PER_MINUTE": _MANY,
    "UNDERSTUDY_LIMITS_RUN_S": "600",
    "UNDERSTUDY_LIMITS_RUNS_PER_USER": "1000",
}
# As an operator has it, and not as tests do: what is committed is on the disk.
_DURABLE = {"fsync": "on", "full_page_writes": "on", "shared_buffers": "256MB", "max_connections": "100"}


@contextmanager
def postgresql(within: str | None = None) -> Iterator[Postgres]:
    """A PostgreSQL whose commits are durable, on any core; its data is in a folder of `within`. Raises Missing."""
    if found("postgresql") is None:
        raise Missing("there is no PostgreSQL on this machine")
    folder = Path(tempfile.mkdtemp(prefix="understudy-bench-", dir=within))  # where the user may go that it runs as
    try:
        server = Postgres(folder, **_DURABLE)
        with all_cores():
            server.start()
        try:
            yield server
        finally:
            server.stop("immediate")
    finally:
        shutil.rmtree(folder)


@contextmanager
def redis() -> Iterator[Redis]:
    """A Redis, on any core. Raises Missing."""
    if found("redis") is None:
        raise Missing("there is no Redis on this machine")
    with tempfile.TemporaryDirectory(prefix="understudy-bench-") as folder:
        server = Redis(Path(folder))
        with all_cores():
            server.start()
        try:
            yield server
        finally:
            server.kill()


class Node(Server):
    """`understudy serve` with these agents, on a core of its own where there are enough; on all with `core` None."""

    def __init__(
        self, folder: Path, core: int | None = 0, *, agents: str = "benchmarks.store.agents:AGENTS", **environment: str
    ) -> None:
        command = [sys.executable, "-m", "understudy", "serve", agents, "--port", "0", "--data-dir", str(folder)]
        with all_cores():
            if core is not None:
                os.sched_setaffinity(0, {core % (os.cpu_count() or 1)})
            super().__init__("understudy", command, {**SETTINGS, **environment})

    def _line(self) -> str:
        return super()._line().rpartition(":")[2]
