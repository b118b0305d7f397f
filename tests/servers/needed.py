"""What tests need of the machine: programs, and ports.

A test that uses a program asks for it by `program()`, or by the marker `needs` if it does not need the path. An async
test has to use the marker: pytest-trio loses the reason of a skip within it.
"""

import os
import re
import shutil
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from glob import glob
from itertools import cycle, islice
from pathlib import Path
from random import Random

import pytest
from attrs import frozen

SERVER_PYTHON_VARIABLE = "TEST_SERVER_PYTHON"
"""Environment: the Python of servers in processes of their own, which has the product installed from its wheels. See
`tests/packaging/stories.py`."""
SERVER_PYTHON = os.environ.get(SERVER_PYTHON_VARIABLE, sys.executable)
INSTALLED = SERVER_PYTHON_VARIABLE in os.environ
"""Whether the tests have no checkout, and the product serves the page's bundle from its wheel."""
WITHOUT_VARIABLE = "TEST_WITHOUT"
"""Environment: names of `PROGRAMS`, separated by commas, or `all`. Tests find these programs absent, also if they are
installed."""


@frozen
class Program:
    """A program of the machine: its binaries, which are in one folder, and the Debian package that has them.

    `folders` are patterns of folders to search before the PATH. `needs` are names of programs that this one runs.
    """

    binaries: tuple[str, ...]
    package: str
    folders: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()

    def folder(self) -> Path | None:
        """Return the folder of the binaries, that of the newest version if there are several; None without one."""
        folders = [folder for pattern in self.folders for folder in sorted(glob(pattern), key=_version, reverse=True)]
        folders += os.environ.get("PATH", "").split(os.pathsep)
        whole = (folder for folder in folders if all(shutil.which(name, path=folder) for name in self.binaries))
        return next(map(Path, whole), None)


def _version(path: str) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", path)]


_POSTGRESQL = ("pg_ctl", "initdb", "postgres", "pg_basebackup")
PROGRAMS: Mapping[str, Program] = {
    "chromium": Program(("chromium",), "chromium"),
    "curl": Program(("curl",), "curl"),
    "firefox": Program(("firefox-esr",), "firefox-esr"),
    "git": Program(("git",), "git"),
    "nginx": Program(("nginx",), "nginx", folders=("/usr/sbin",)),
    "node": Program(("node",), "nodejs"),
    "npm": Program(("npm", "npx"), "npm", needs=("node",)),
    "pgbouncer": Program(("pgbouncer",), "pgbouncer", folders=("/usr/sbin",)),
    "postgresql": Program(_POSTGRESQL, "postgresql", folders=("/usr/lib/postgresql/*/bin",)),
    "prometheus": Program(("prometheus", "promtool"), "prometheus"),
    "redis": Program(("redis-server", "redis-cli"), "redis-server"),
}
"""The programs that tests ask for, by name. What every Debian has (`sh`, coreutils, util-linux) is not among them."""
ASKED: set[tuple[str, str]] = set()
"""The names that were asked for in this process, each with the test file that asked, as pytest names it."""


def without() -> frozenset[str]:
    """Return the names in `TEST_WITHOUT`. Raises pytest.UsageError if one is not in `PROGRAMS`."""
    names = {name.strip() for name in os.environ.get(WITHOUT_VARIABLE, "").split(",")} - {""}
    unknown = sorted(names - PROGRAMS.keys() - {"all"})
    if unknown:
        names_known = ", ".join(PROGRAMS)
        raise pytest.UsageError(f"{WITHOUT_VARIABLE} names {', '.join(unknown)}; known are all, {names_known}")
    return frozenset(PROGRAMS if "all" in names else names)


def found(name: str, binary: str = "") -> Path | None:
    """Return the path of a program's binary, by default its first, or None if the program or one it needs is absent."""
    names = (name, *PROGRAMS[name].needs)
    test = os.environ.get("PYTEST_CURRENT_TEST", "").partition("::")[0]
    ASKED.update((needed, test) for needed in names)
    folders = [PROGRAMS[needed].folder() for needed in names]
    if folders[0] is None or None in folders or without().intersection(names):
        return None
    return folders[0] / (binary or PROGRAMS[name].binaries[0])


def program(name: str, binary: str = "") -> Path:
    """Return the path of a program's binary, by default its first; without the program, skip the test.

    In CI (the variable `CI` is set) the test fails instead, unless `TEST_WITHOUT` names the program.
    """
    path = found(name, binary)
    if path is not None:
        return path
    names = (name, *PROGRAMS[name].needs)
    left_out = [needed for needed in names if needed in without()]
    if left_out:
        pytest.skip(f"without {' and '.join(left_out)} ({WITHOUT_VARIABLE})")
    missing = [needed for needed in names if PROGRAMS[needed].folder() is None]
    packages = " ".join(PROGRAMS[needed].package for needed in missing)
    reason = f"no {' and no '.join(missing)} on this machine (Debian: apt-get install {packages})"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


# Those of one worker of pytest-xdist, below those that a system gives to whoever connects: a server starts later.
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_ports = range(21000 + _worker, 32000, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))
_turns = cycle(Random().sample(_ports, len(_ports)))


def free_port() -> int:
    """Return a port that is free now, and that no other call in this process or in another worker has returned."""
    for port in islice(_turns, len(_ports)):
        with socket.socket() as attempt, suppress(OSError):
            attempt.bind(("127.0.0.1", port))
            return port
    raise OSError("no port is free")
