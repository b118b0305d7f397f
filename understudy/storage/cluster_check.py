"""What an operator wants to know of a PostgreSQL server before several nodes share it; asked once, changing nothing."""

import time
from typing import Final

from attrs import frozen
from sqlalchemy import Connection

from . import schema
from .postgresql import FILE_TRANSFERS, READERS, inspect_server, looking_at

NODE_CONNECTIONS: Final = 1 + (READERS + 2) + FILE_TRANSFERS
"""How many connections one node has at most: to write, to read, and for the bytes of files."""
FIRST_WITH_NODES: Final = schema.REVISIONS[4]
_FREE = """
    SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int - count(*)
    FROM pg_stat_activity WHERE backend_type = 'client backend'
"""
_WRITABLE = "SELECT NOT pg_is_in_recovery() AND current_setting('default_transaction_read_only') = 'off'"
_NODES = "SELECT count(*) FROM nodes WHERE expires_at > extract(epoch FROM clock_timestamp())"


@frozen
class ClusterCheck:
    """`ahead_s` is how far this machine's clock is before the server's, as well as the way there lets it be known;
    `free` how many more connections the server takes; `nodes` how many nodes live. `revision` None: no tables yet.
    `writable`: it takes writes, as a standby does not.
    """

    version: str
    revision: str | None
    ahead_s: float
    free: int
    nodes: int
    writable: bool


def check_cluster(address: str) -> ClusterCheck:
    """Ask the server; blocks. Raises what `inspect_server` raises."""
    version, revision = inspect_server(address)
    with looking_at(address) as (connection, _):
        # The one that asks will be gone.
        free = int(connection.exec_driver_sql(_FREE).scalar_one()) + 1
        known = revision is not None and revision >= FIRST_WITH_NODES
        nodes = int(connection.exec_driver_sql(_NODES).scalar_one()) if known else 0
        writable = bool(connection.exec_driver_sql(_WRITABLE).scalar_one())
        return ClusterCheck(version, revision, _ahead_s(connection), free, nodes, writable)


def _ahead_s(connection: Connection) -> float:
    """By the quickest of three questions: the clock was read in the middle of it, give or take half of it."""
    found = []
    for _ in range(3):
        began = time.time()
        there = float(connection.exec_driver_sql("SELECT extract(epoch FROM clock_timestamp())").scalar_one())
        ended = time.time()
        found.append((ended - began, (began + ended) / 2 - there))
    return min(found)[1]
