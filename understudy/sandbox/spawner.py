"""Starts processes that handle untrusted text: bounded, confined, few, and with an empty environment.

An `open` program is for code of the server's author that may hang or take all memory: bounded, but not confined.

1. A server runs at most `PROCESSES` of them, with `memory_for_all` bytes together. Calls wait in order of arrival until
   their process fits; before that users take turns (`understudy.sandbox.limiters`).
2. A process inherits nothing of the server's environment, open files or terminal. `child` sets its other limits in the
   process itself, before it reads untrusted input. An open program inherits the environment and standard error.
3. A cancelled call kills its process, and those that it has started, and returns after the process has ended.
"""

import contextlib
import json
import logging
import os
import signal
import sys
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from subprocess import CompletedProcess
from typing import Final

import msgspec
import trio
from attrs import define, field, frozen

from understudy.sandbox import child
from understudy.sandbox.child import Order
from understudy.sandbox.limiters import RunLocal

log: Final = logging.getLogger(__name__)

MIB: Final = 1024 * 1024
LARGEST: Final = 1024 * MIB
"""Bytes of the largest program; there is room for one of them on every machine."""
PROCESSES: Final = 6
"""Processes at a time: four of tables (`understudy.sandbox.limiters`), and two of charts beside them."""


def memory_for_all() -> int:
    """Return the bytes that all processes together may use: half of the machine's, but at least `LARGEST`."""
    try:
        machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        machine = 0  # unknown
    return max(LARGEST, min(PROCESSES * LARGEST, machine // 2))


# Needed by an interpreter outside the usual folders; nothing else of the environment is passed on.
_LOADER: Final = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


@frozen
class Program:
    """A program that runs in a process of its own, with its limits.

    `module` has `prepare()` and `main()` (see `child`). `read` are files and folders it needs beside its own code.
    `address_space` is None for programs that reserve much more than they use, as V8 does. `open`: it is not
    confined.
    """

    module: str
    memory: int
    address_space: int | None = None
    file_bytes: int = 0
    niceness: int = 5
    read: tuple[str, ...] = ()
    open: bool = False


OUTSIDE: Final = "/etc/passwd"
"""A world-readable file of every system that no program of the sandbox may read."""
PROBE: Final = Program("understudy.sandbox.probe", memory=256 * MIB, address_space=1024 * MIB)


def command() -> list[str]:
    """Return the command line of a process, which is the same for all: the order names the program."""
    return [sys.executable, "-I", child.__file__]


def environment() -> dict[str, str]:
    """Return the environment of a process: the server's library paths and nothing else."""
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

    `read` and `write` are files and folders of this call, `memory` is in bytes if it is other than the program's.
    """
    given = program.memory if memory is None else memory
    order = Order(
        program=program.module,
        memory=given,
        address_space=None if program.address_space is None else program.address_space - program.memory + given,
        cpu_s=cpu_s,
        file_bytes=program.file_bytes,
        niceness=program.niceness,
        read=[*program.read, *read],
        write=list(write),
        path=[os.path.abspath(each) for each in sys.path] if program.open else None,
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
            ValueError: All processes together may not use as much.
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
"""The limiter of this run of trio, which is one server."""


async def run(
    program: Program,
    request: bytes,
    *,
    read: Sequence[str] = (),
    write: Sequence[str] = (),
    memory: int | None = None,
    cpu_s: int | None = None,
) -> "CompletedProcess[bytes]":
    """Run a program on a request. Return its exit code and output. The caller holds a permit for it."""
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
    """Kill at once: the process has nothing to save, and no milder signal reaches a long function of DuckDB.

    It leads a session, so that the processes it has started are killed with it.
    """
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


@frozen
class ConfinementReport:
    """The confinement of processes on this machine, and the attempts of the probe that succeeded in spite of it."""

    no_new_privileges: bool = False
    files: bool = False
    calls: bool = False
    read: tuple[str, ...] = ()
    made: tuple[str, ...] = ()
    sockets: tuple[str, ...] = ()
    processes: bool = False
    programs: bool = False
    signals: bool = False
    environment: tuple[str, ...] = ()

    @property
    def missing(self) -> str:
        """Missing kinds of confinement, as text for an operator; empty if none is missing."""
        files = self.files and not (self.read or self.made)
        calls = self.calls and self.no_new_privileges and not (self.sockets or self.processes or self.signals)
        return " and ".join(
            [
                *([] if files else ["Landlock, which keeps them from other files"]),
                *([] if calls else ["seccomp, which keeps them from the network and other programs"]),
            ]
        )


async def probe(
    files: Sequence[str] = (OUTSIDE,), made: Sequence[str] = (), process: int | None = None, limit_s: float = 10.0
) -> ConfinementReport:
    """Start a process that tries to break out, and report its confinement. A failed probe counts as unconfined.

    The process tries to read `files`, to make `made` and to signal `process` (by default, this one).
    """
    attempts = {"files": files, "made": made, "program": sys.executable, "process": process or os.getpid()}
    ended = None
    with trio.move_on_after(limit_s):
        ended = await run(PROBE, msgspec.json.encode(attempts), cpu_s=5)
    try:
        return msgspec.json.decode(ended.stdout if ended else b"", type=ConfinementReport)
    except msgspec.MsgspecError:
        reason = ended.stderr.decode(errors="replace")[-500:] if ended else "too slow"
        log.warning("sandbox.probe_failed", extra={"reason": reason})
        return ConfinementReport()


warned: Final[list[ConfinementReport]] = []
"""The report of the first `warn_if_open` of this Python process; it stays valid because the kernel does."""


async def warn_if_open() -> None:
    """Log a warning if processes for foreign text are not confined on this machine; at the first call only."""
    if warned:
        return
    warned.append(ConfinementReport())  # a second server in this Python process must not probe again meanwhile
    warned[0] = await probe()
    if warned[0].missing:
        log.warning("sandbox.open", extra={"missing": warned[0].missing})
