"""The entry point of a process of `spawner`: bounds the process, confines it unless it is `open`, and runs its program.

    python -I understudy/sandbox/child.py < order-and-request > answer

The first line of standard input is the order (`Order`), the rest belongs to the program: a module of this package with
`prepare()`, which loads modules while files can still be read, and `main()`, which returns the exit code. No untrusted
input is read before the process is confined. An `open` program runs code of the server's author: it has the server's
`path` for modules, and is bounded in memory and time alone.

This module is run as a file, and imports modules of the package without running the package's ``__init__``: a table
process starts in 0.11 s instead of 0.27 s, as measured.
"""

import contextlib
import importlib
import json
import os
import resource
import sys
import sysconfig
from pathlib import Path
from types import ModuleType
from typing import Any, Final, TypedDict

PACKAGE: Final = Path(__file__).resolve().parent.parent
NAME: Final = "understudy"
SHARED: Final = (
    "/dev/null",
    "/dev/urandom",
    "/etc/localtime",
    "/proc/self/cgroup",
    "/sys/devices/system/cpu",
    "/sys/fs/cgroup",
    "/usr/share/zoneinfo",
)
"""Files without secrets that libraries open at any time: DuckDB exits if it may not read its own cgroup."""


class Order(TypedDict):
    """The limits of a process, and the program it runs. Sizes in bytes; None: no such limit. `path`: of an open one."""

    program: str
    memory: int
    address_space: int | None
    cpu_s: int | None
    file_bytes: int
    niceness: int
    read: list[str]
    write: list[str]
    path: list[str] | None


def bound(order: Order) -> None:
    """Bound memory, processor time, files and priority of this process.

    A limit that the system does not support is skipped (macOS does not enforce one of memory).
    """
    bounds = [
        (resource.RLIMIT_DATA, order["memory"], order["memory"]),
        (resource.RLIMIT_CORE, 0, 0),
    ]
    if order["path"] is None:
        bounds.append((resource.RLIMIT_NOFILE, 128, 128))
        bounds.append((resource.RLIMIT_FSIZE, order["file_bytes"], order["file_bytes"]))
    if (space := order["address_space"]) is not None:
        bounds.append((resource.RLIMIT_AS, space, space))
    if (cpu_s := order["cpu_s"]) is not None:
        # The signal of the soft limit tells this end from a kill for lack of memory.
        bounds.append((resource.RLIMIT_CPU, cpu_s, cpu_s + 1))
    for kind, soft, hard in bounds:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (soft, hard))
    os.nice(order["niceness"])
    # If the machine runs out of memory, the kernel kills this process first.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def code_folders() -> list[str]:
    """Return the folders of the program's code and libraries, from which modules may still be loaded later."""
    libraries = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    return [*sorted(libraries), str(PACKAGE), str(PACKAGE.parent / "sanitization")]


def _without_package() -> None:
    """Register the package and its folders without running their `__init__`, which would import the server."""
    for folder in (PACKAGE, *(each for each in PACKAGE.iterdir() if (each / "__init__.py").is_file())):
        name = NAME if folder == PACKAGE else f"{NAME}.{folder.name}"
        package = ModuleType(name)
        package.__path__ = [str(folder)]
        sys.modules[name] = package
    sys.path.append(str(PACKAGE.parent))


def main() -> int:
    """Read the order, bound and confine this process, and run the program; return its exit code."""
    order: Order = json.loads(sys.stdin.buffer.readline())
    bound(order)
    if order["path"] is not None:
        sys.path[:] = order["path"]
    else:
        _without_package()
    program: Any = importlib.import_module(order["program"])
    program.prepare()
    if order["path"] is None:
        confinement = importlib.import_module(f"{NAME}.sandbox.confine")
        program.confined = confinement.confine([*code_folders(), *SHARED, *order["read"]], order["write"])
    code: int = program.main()
    return code


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # skips clean-up: the system frees DuckDB's memory faster
