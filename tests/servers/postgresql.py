"""A PostgreSQL server of the tests' own, which can be stopped, killed, paused and started again."""

import os
import pwd
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
from attrs import frozen
from psycopg import sql

from tests.servers.needed import free_port, program

USER = "understudy"
START_S = 30
# Speed is worth more than what a power cut leaves of a test: it starts on an empty folder.
OPTIONS: Mapping[str, str] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "32MB",
    "max_connections": "60",
    "fsync": "off",
    "full_page_writes": "off",
    "log_min_messages": "fatal",
}


class Postgres:
    """A server on a free port of the loopback address, with its data in a folder; with `of`, a standby of that one.

    `initdb` are more options of that program's.
    """

    def __init__(
        self, folder: Path, *, of: "Postgres | None" = None, initdb: Sequence[str] = (), **options: str
    ) -> None:
        self._binaries = program("postgresql").parent
        self._data = folder / "data"
        self._options = {**OPTIONS, **options}
        user = pwd.getpwnam("nobody") if os.getuid() == 0 else None  # it refuses to run as root
        self._as_user: dict[str, Any] = {}
        if user is not None:
            self._as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        self._numbers = count(1)
        self.port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        if user is not None:
            os.chown(folder, user.pw_uid, user.pw_gid)
        if of is not None:
            where = ("--host=127.0.0.1", f"--port={of.port}", f"--username={USER}")
            self._run("pg_basebackup", *where, "--write-recovery-conf", "--checkpoint=fast", "--no-sync")
            return
        how = ("--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8")
        self._run("initdb", f"--username={USER}", *how, *initdb)

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = " ".join(f"-c {name}='{value}'" for name, value in {**self._options, "port": str(self.port)}.items())
        self._run("pg_ctl", "start", "--wait", f"--timeout={START_S}", "-o", options)

    def stop(self, mode: str = "fast") -> None:
        """Stop it: `fast` throws everybody out, `immediate` is a crash."""
        self._run("pg_ctl", "stop", "--wait", f"--timeout={START_S}", "-m", mode)

    def stop_if_running(self) -> None:
        """Stop it, unless it was stopped; also one that is held."""
        if (self._data / "postmaster.pid").exists():
            self.resume()
            self.stop("immediate")

    def pause(self) -> None:
        """Hold every one of its processes: connections stay open, nobody answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let them go on."""
        self._signal(signal.SIGCONT)

    def promote(self) -> None:
        """Have a standby take writes from now on."""
        self._run("pg_ctl", "promote", "--wait", f"--timeout={START_S}")

    def set(self, name: str, value: str) -> None:
        """Change a setting for whoever connects from now on, and for all sessions where it may change in them."""
        with psycopg.connect(self.address("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(name), value))
            connection.execute("SELECT pg_reload_conf()")

    def limit_files(self, size: int) -> None:
        """Let none of its processes write to a file beyond this, as on a disk that is full; -1 is no limit."""
        size_or_none = "unlimited" if size < 0 else str(size)
        for pid in self._pids():  # by a program that runs as they do: of another user's processes not even root may
            command = ["prlimit", f"--pid={pid}", f"--fsize={size_or_none}:"]
            done = subprocess.run(command, capture_output=True, check=False, **self._as_user)
            assert done.returncode == 0 or not Path(f"/proc/{pid}").exists(), done.stderr

    def damage(self, name: str) -> None:
        """Overwrite what a file of its data begins with, while it is stopped."""
        with (self._data / name).open("r+b") as file:
            file.write(b"\xff" * 512)

    def create(self, template: str = "template1") -> str:
        """A database of its own; gives its address."""
        name = f"db{next(self._numbers)}"
        with psycopg.connect(self.address("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.address(name)

    def add_user(self, password: str) -> str:
        """A user who has to give a password, as all have to on a real server; gives the name."""
        name = f"user{next(self._numbers)}"
        rules = self._data / "pg_hba.conf"
        with psycopg.connect(self.address("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(name), password))
            rules.write_text(f"host all {name} 127.0.0.1/32 scram-sha-256\n" + rules.read_text())
            connection.execute("SELECT pg_reload_conf()")
        return name

    def address(self, name: str, *others: "Postgres") -> str:
        """The address of a database; with `others`, of the same one on whichever of the servers takes writes."""
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in (self, *others))
        return f"postgresql://{USER}@{hosts}/{name}" + ("?target_session_attrs=read-write" if others else "")

    def _signal(self, number: int) -> None:
        for pid in self._pids():
            with suppress(ProcessLookupError):  # a child that has just ended
                os.kill(pid, number)

    def _pids(self) -> list[int]:
        """The server's process, which makes the others, and these."""
        main = int((self._data / "postmaster.pid").read_text().split()[0])
        return [main, *map(int, Path(f"/proc/{main}/task/{main}/children").read_text().split())]

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._binaries / program), "-D", str(self._data), *arguments]
        output = self._data.parent / "said"
        with output.open("ab") as file:  # not a pipe: the server keeps it open
            to = {"stdin": subprocess.DEVNULL, "stdout": file, "stderr": file}
            done = subprocess.run(command, **to, cwd=self._data.parent, timeout=2 * START_S, **self._as_user)
        assert done.returncode == 0, f"{program}: {output.read_text()}"


@frozen
class Pair:
    """A primary, and a standby that has what was committed before its commit returns."""

    primary: Postgres
    standby: Postgres

    @classmethod
    def start(cls, folder: Path) -> "Pair":
        """Both, running."""
        primary = Postgres(folder / "primary")
        primary.start()
        standby = Postgres(folder / "standby", of=primary)
        standby.start()
        primary.set("synchronous_standby_names", "*")
        primary.set("synchronous_commit", "remote_apply")
        return cls(primary, standby)

    def create(self) -> str:
        """A database of its own; gives the address of the one on whichever of them takes writes."""
        return self.primary.address(self.primary.create().rpartition("/")[2], self.standby)


def execute(address: str, *statements: str) -> list[Any]:
    """Run statements past storage's code; gives the rows of the last one."""
    with psycopg.connect(address, autocommit=True) as connection:
        for statement in statements:
            cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []
