"""A PostgreSQL server of the tests' own, which can be stopped, killed, paused and started again."""

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Mapping
from itertools import count
from pathlib import Path

import psycopg
from psycopg import sql

from tests.servers.needed import free_port, lack

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


def binaries() -> Path | None:
    """The folder of the newest PostgreSQL on this machine."""
    found = shutil.which("pg_ctl")
    folders = [Path(found).parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    return next((folder for folder in reversed(folders) if (folder / "initdb").exists()), None)


class Postgres:
    """A server on a free port of the loopback address, with its data in a folder."""

    def __init__(self, folder: Path, **options: str) -> None:
        found = binaries()
        if found is None:
            lack("there is no PostgreSQL on this machine (Debian: apt-get install postgresql)")
        self._binaries = found
        self._data = folder / "data"
        self._options = {**OPTIONS, **options}
        self._user = pwd.getpwnam("nobody") if os.getuid() == 0 else None  # it refuses to run as root
        self._numbers = count(1)
        self.port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        if self._user is not None:
            os.chown(folder, self._user.pw_uid, self._user.pw_gid)
        self._run("initdb", "--auth=trust", f"--username={USER}", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8")

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = " ".join(f"-c {name}='{value}'" for name, value in {**self._options, "port": str(self.port)}.items())
        self._run("pg_ctl", "start", "--wait", f"--timeout={START_S}", "-o", options, "-l", str(self._data / "log"))

    def stop(self, mode: str = "fast") -> None:
        """Stop it: `fast` throws everybody out, `immediate` is a crash."""
        self._run("pg_ctl", "stop", "--wait", f"--timeout={START_S}", "-m", mode)

    def pause(self) -> None:
        """Hold every one of its processes: connections stay open, nobody answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let them go on."""
        self._signal(signal.SIGCONT)

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

    def address(self, name: str) -> str:
        """The address of a database."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{name}"

    def _signal(self, number: int) -> None:
        main = int((self._data / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{main}/task/{main}/children").read_text().split()
        for pid in (main, *map(int, children)):
            os.kill(pid, number)

    def _run(self, program: str, *arguments: str) -> None:
        user = {} if self._user is None else {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}
        command = [str(self._binaries / program), "-D", str(self._data), *arguments]
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if program != "pg_ctl" else subprocess.DEVNULL,  # the server keeps it open
            stderr=subprocess.STDOUT,
            cwd=self._data.parent,
            timeout=2 * START_S,
            **user,
        )
        assert done.returncode == 0, f"{program}: {(done.stdout or b'').decode()}"
