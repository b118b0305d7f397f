"""A PgBouncer in transaction mode before a PostgreSQL server: connections change hands after each transaction."""

import os
import pwd
import signal
import socket
import subprocess
import time
from pathlib import Path

from tests.servers.needed import free_port, program
from tests.servers.postgresql import USER, Postgres

START_S = 30.0
POOL = 2
"""Connections to the server for all clients of a database: fewer than ours opens, so that they are shared."""


class PgBouncer:
    """One on a free port of the loopback address, for all databases of a server."""

    def __init__(self, folder: Path, server: Postgres) -> None:
        binary = program("pgbouncer")
        self.port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        user = pwd.getpwnam("nobody") if os.getuid() == 0 else None  # it refuses to run as root
        if user is not None:
            os.chown(folder, user.pw_uid, user.pw_gid)
        settings = folder / "pgbouncer.ini"
        settings.write_text(
            f"[databases]\n* = host=127.0.0.1 port={server.port} user={USER}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir =\nauth_type = any\n"
            f"pool_mode = transaction\ndefault_pool_size = {POOL}\nmax_client_conn = 200\n"
        )
        settings.chmod(0o644)
        as_user = {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [binary, "-q", str(settings)], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder, **as_user
            )
        self._wait(folder / "log")

    def address(self, behind: str) -> str:
        """The address of a database, given the one that the server behind it has."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{behind.rpartition('/')[2]}"

    def stop(self) -> None:
        """End it."""
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(START_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _wait(self, log: Path) -> None:
        deadline = time.monotonic() + START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                assert self._process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.01)
