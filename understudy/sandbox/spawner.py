"""Starts processes that handle untrusted text: limited in memory and time, confined, and with an empty environment.

An `open` program has trusted code that may hang or take all memory: it is limited, but not confined.

1. A server runs at most `PROCESSES` processes, with `memory_for_all` bytes together. Calls wait in order of arrival
   until their process fits; before that users take turns (`understudy.sandbox.limiters`).
2. A process inherits nothing of the server's environment, open files or terminal. `child` sets its other limits in the
   process itself, before it reads untrusted input. An open program inherits the environment and standard error.
3. A cancelled call kills its process and that process's children, and returns after the process has ended.
"""

import contextlib
import json
import os
import signal
import sys
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from subprocess import CompletedProcess
from typing import Final

import trio
from attrs import define, field, frozen

from understudy.sandbox import child
from understudy.sandbox.child import Order
from understudy.sandbox.limiters import RunLocal

MIB: Final = 1024 * 1024
LARGEST: Final = 1024 * MIB
"""Bytes of the largest program; every machine is assumed to have room for one of these."""
PROCESSES: Final = 4
"""Processes at a time, as many as a `FairLimiter` has permits."""


def memory_for_all() -> int:
    """Return the bytes that all processes together may use: half of the machine's memory, but at least `LARGEST`."""
    try:
        machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        machine = 0  # unknown
    return max(LARGEST, min(PROCESSES * LARGEST, machine // 2))


# An interpreter outside the usual folders needs these; no other variable is passed on.
_LOADER: Final = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


@frozen
class Program:
    """A program that runs in a separate process, with its limits. Sizes are in bytes.

    `module`, of any package that the server can import, has `prepare()`, `main()` and, unless it is `open`, `confine()`
    (see `child`). `address_space` None: it is not limited.
    """

    module: str
    memory: int
    address_space: int | None = None
    file_bytes: int = 0
    niceness: int = 5
    open: bool = False


def command() -> list[str]:
    """Return the command line of a process. It is the same for all programs: the order names the program."""
    return [sys.executable, "-I", child.__file__]


def environment() -> dict[str, str]:
    """Return the environment of a confined process: only the server's library paths."""
    return {name: os.environ[name] for name in _LOADER if name in os.environ}


def encode_order(
    program: Program,
    *,
    read: Sequence[str] = (),
    write: Sequence[str] = (),
    memory: int | None = None,
    cpu_s: int | None = None,
) -> bytes:
    """Return the first line of a process's standard input.

    `read` and `write` are files and folders of this call; `memory`, in bytes, overrides the program's.
    """
    limit = program.memory if memory is None else memory
    package = import_module(program.module.partition(".")[0])
    order = Order(
        program=program.module,
        package=str(Path(str(package.__file__)).resolve().parent),
        memory=limit,
        address_space=None if program.address_space is None else program.address_space - program.memory + limit,
        cpu_s=cpu_s,
        file_bytes=program.file_bytes,
        niceness=program.niceness,
        read=list(read),
        write=list(write),
        path=[os.path.abspath(path) for path in sys.path] if program.open else None,
    )
    return json.dumps(order).encode() + b"\n"


@define(eq=False)
class ProcessLimiter:
    """At most `processes` at a time, and `memory` bytes of all of them; calls are served in order of arrival."""

    processes: int = PROCESSES
    memory: int = field(factory=memory_for_all)
    _running: int = field(default=0, init=False)
    _used: int = field(default=0, init=False)
    _waiting: deque[tuple[int, trio.Event]] = field(factory=deque, init=False)

    @asynccontextmanager
    async def permit(self, memory: int) -> AsyncIterator[None]:
        """Hold a permit for a process of `memory` bytes during the block; wait for it without a time limit.

        Raises:
            ValueError: All processes together may not use that much.
        """
        if memory > self.memory:
            raise ValueError(f"{memory} bytes are more than all processes together may use")
        entry = (memory, trio.Event())
        self._waiting.append(entry)
        self._grant()
        try:
            await entry[1].wait()
            yield
        finally:
            if entry[1].is_set():
                self._running -= 1
                self._used -= memory
            else:
                self._waiting.remove(entry)
            self._grant()

    def _grant(self) -> None:
        while self._waiting and self._running < self.processes:
            memory, granted = self._waiting[0]
            if self._used + memory > self.memory:
                return
            self._waiting.popleft()
            self._running += 1
            self._used += memory
            granted.set()


process_limiter: Final = RunLocal("understudy.sandbox.processes", ProcessLimiter)
"""The limiter of the current trio loop, which is that of one server."""


async def run(
    program: Program,
    request: bytes,
    *,
    read: Sequence[str] = (),
    write: Sequence[str] = (),
    memory: int | None = None,
    cpu_s: int | None = None,
) -> "CompletedProcess[bytes]":
    """Run a program on a request. Return its exit code and output. The caller must hold a permit for it."""
    order = encode_order(program, read=read, write=write, memory=memory, cpu_s=cpu_s)
    return await trio.run_process(
        command(),
        stdin=order + request,
        capture_stdout=True,
        capture_stderr=not program.open,
        check=False,
        deliver_cancel=_kill,
        env=None if program.open else environment(),
        start_new_session=True,  # Ctrl-C in the server's terminal must reach the server only
    )


async def _kill(process: trio.Process) -> None:
    """Kill a process and its children at once: it has nothing to save, and no milder signal stops a call of DuckDB.

    The process leads a session, and so a process group.
    """
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
