"""The entry point of a process of `spawner`: limits the process, confines it unless it is `open`, and runs its program.

    python -I understudy/sandbox/child.py < order-and-request > answer

The first line of standard input is the order (`Order`); the other input is for the program, a module with

1. `prepare()`, which loads modules while files can still be read,
2. `confine(read, write)`, which denies the process everything except these files and folders, or raises an error; a
   program without it fails before it reads untrusted input,
3. `main()`, which reads untrusted input, and returns the exit code.

An `open` program runs trusted code: it has the server's `path` for modules, is limited only in memory and time, and has
no `confine`.

This module is run as a file, and imports modules of its own package and the program's without running the ``__init__``
of their folders: as measured, a process that reads a table starts in 0.11 s instead of 0.27 s.
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
SHARED: Final = (
    "/dev/null",
    "/dev/urandom",
    "/etc/localtime",
    "/proc/self/cgroup",
    "/sys/devices/system/cpu",
    "/sys/fs/cgroup",
    "/usr/share/zoneinfo",
)
"""Files without secrets that libraries may open at any time. DuckDB exits if it may not read its own cgroup."""


class Order(TypedDict):
    """The limits of a process, and the program it runs. Sizes are in bytes; None: no such limit.

    `package` is the folder of the program's top-level package; `path` is `sys.path` for an open program, else None.
    """

    program: str
    package: str
    memory: int
    address_space: int | None
    cpu_s: int | None
    file_bytes: int
    niceness: int
    read: list[str]
    write: list[str]
    path: list[str] | None


def bound(order: Order) -> None:
    """Limit memory, processor time, files and priority of this process.

    A limit that the system does not support is skipped (macOS does not limit memory).
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
        # The signal at the soft limit, SIGXCPU, distinguishes this end from a kill for lack of memory.
        bounds.append((resource.RLIMIT_CPU, cpu_s, cpu_s + 1))
    for kind, soft, hard in bounds:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (soft, hard))
    os.nice(order["niceness"])
    # Makes the kernel kill this process first if the machine runs out of memory.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def code_folders(package: str) -> list[str]:
    """Return the folders of a package's code and of libraries, which may be read to load modules later."""
    libraries = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    return [*sorted(libraries), str(PACKAGE), package]


def _register(top: Path) -> None:
    """Register a package and its subpackages without running their `__init__`, which would import the server."""
    for folder in (top, *(path for path in top.iterdir() if (path / "__init__.py").is_file())):
        name = top.name if folder == top else f"{top.name}.{folder.name}"
        package = ModuleType(name)
        package.__path__ = [str(folder)]
        sys.modules[name] = package


def main() -> int:
    """Read the order, limit and confine this process, and run the program. Return its exit code."""
    order: Order = json.loads(sys.stdin.buffer.readline())
    bound(order)
    if order["path"] is not None:
        sys.path[:] = order["path"]
    else:
        for package in {PACKAGE, Path(order["package"])}:
            _register(package)
    program: Any = importlib.import_module(order["program"])
    program.prepare()
    if order["path"] is None:
        program.confine([*code_folders(order["package"]), *SHARED, *order["read"]], order["write"])
    code: int = program.main()
    return code


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # skips clean-up: the system frees DuckDB's memory faster
