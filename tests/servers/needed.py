"""What tests need of the machine: programs, and ports."""

import os
import shutil
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import NoReturn

import pytest

SERVER_PYTHON_VARIABLE = "TEST_SERVER_PYTHON"
"""Environment: the Python of servers in processes of their own, which has the product installed from its wheels. See
`tests/packaging/stories.py`."""
SERVER_PYTHON = os.environ.get(SERVER_PYTHON_VARIABLE, sys.executable)
INSTALLED = SERVER_PYTHON_VARIABLE in os.environ
"""Whether the tests have no checkout, and the product serves the page's bundle from its wheel."""


def program(name: str, package: str, folders: Sequence[Path] = ()) -> Path:
    """A program on the path or in one of these folders; without it the test is skipped, but fails in CI.

    `package` is what to install of Debian's.
    """
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *map(str, folders)]))
    if found is None:
        lack(f"there is no {name} on this machine (Debian: apt-get install {package})")
    return Path(found)


def lack(reason: str) -> NoReturn:
    """Skip the test, but fail in CI."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def free_port() -> int:
    """A port that is free now, and from below those that a system gives to whoever connects: free while it is away."""
    for port in range(21000 + Random().randrange(8000), 32000):
        with socket.socket() as attempt:
            try:
                attempt.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no port is free")
