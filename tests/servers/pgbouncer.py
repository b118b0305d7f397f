"""A PgBouncer in transaction mode before a PostgreSQL server: connections change hands after each transaction."""

import os
import pwd
from pathlib import Path
from typing import Any

from tests.servers.listening import ListeningProgram
from tests.servers.needed import free_port, program
from tests.servers.postgresql import USER, Postgres

POOL = 2
"""Connections to the server for all clients of a database: fewer than ours opens, so that they are shared."""


class PgBouncer(ListeningProgram):
    """One on a free port of the loopback address, for all databases of a server."""

    def __init__(self, folder: Path, server: Postgres) -> None:
        binary = program("pgbouncer")
        port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        user = pwd.getpwnam("nobody") if os.getuid() == 0 else None  # it refuses to run as root
        if user is not None:
            os.chown(folder, user.pw_uid, user.pw_gid)
        settings = folder / "pgbouncer.ini"
        settings.write_text(
            f"[databases]\n* = host=127.0.0.1 port={server.port} user={USER}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
            f"pool_mode = transaction\ndefault_pool_size = {POOL}\nmax_client_conn = 200\n"
        )
        settings.chmod(0o644)
        as_user: dict[str, Any] = (
            {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        )
        super().__init__([binary, "-q", str(settings)], port, folder / "log", **as_user)

    def address(self, behind: str) -> str:
        """The address of a database, given the one that the server behind it has."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{behind.rpartition('/')[2]}"
