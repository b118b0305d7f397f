"""Processes of the sandbox that answer many requests, one at a time.

1. A request and its reply are frames: the length in four bytes, then JSON.
2. A process that does not reply in time, or replies with something else, is killed; the next request starts another.
3. `Workers` is called from threads, which wait for the reply without holding the interpreter lock.
"""

import atexit
import contextlib
import json
import os
import select
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from threading import Lock
from typing import Any, Final

from understudy.sandbox import spawner
from understudy.sandbox.spawner import Program

REPLY_MAX: Final = 32 * 1024 * 1024
"""Bytes of a reply; a process that announces more is killed."""
_LENGTH: Final = struct.Struct(">I")
_PIECE: Final = 256 * 1024


class WorkerFailed(Exception):
    """The process died, was too slow or sent an invalid reply. Another one may be asked."""


def serve(answer: Callable[[Any], Any]) -> None:
    """Answer the requests on standard input until end of input. Runs in the process itself."""
    source, target = sys.stdin.buffer, sys.stdout.buffer
    while head := source.read(_LENGTH.size):
        reply = json.dumps(answer(json.loads(source.read(*_LENGTH.unpack(head))))).encode()
        target.write(_LENGTH.pack(len(reply)) + reply)
        target.flush()


class SandboxWorker:
    """The server's handle of one process."""

    def __init__(self, program: Program) -> None:
        self.process = subprocess.Popen(  # noqa: S603 - the command is ours
            spawner.command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=spawner.environment(),
            start_new_session=True,  # Ctrl-C in the server's terminal must reach the server only
            bufsize=0,
        )
        if self.process.stdin is None or self.process.stdout is None:
            raise TypeError("the pipes that were asked for are there")
        self._in, self._out = self.process.stdin.fileno(), self.process.stdout.fileno()
        os.set_blocking(self._in, False)
        self._first = spawner.encode_order(program)

    def ask(self, request: bytes, limit_s: float) -> Any:
        """Send a request, and return its reply; `limit_s` is in seconds of the wall clock.

        Raises:
            WorkerFailed: There is no reply. The caller must close the worker.
        """
        until = time.monotonic() + limit_s
        data, self._first = self._first + _LENGTH.pack(len(request)) + request, b""
        try:
            while data:
                self._wait(self._in, select.POLLOUT, until)
                data = data[os.write(self._in, data) :]
            (length,) = _LENGTH.unpack(self._read(_LENGTH.size, until))
            if length > REPLY_MAX:
                raise WorkerFailed(f"a reply of {length} bytes")
            return json.loads(self._read(length, until))
        except (OSError, ValueError, RecursionError) as error:
            raise WorkerFailed(repr(error)) from error

    def close(self) -> None:
        """Kill the process and wait for its end."""
        self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        self.process.wait()

    def _read(self, length: int, until: float) -> bytes:
        data = bytearray()
        while len(data) < length:
            self._wait(self._out, select.POLLIN, until)
            piece = os.read(self._out, min(length - len(data), _PIECE))
            if not piece:
                raise WorkerFailed("it has ended")
            data += piece
        return bytes(data)

    def _wait(self, pipe: int, event: int, until: float) -> None:
        poll = select.poll()
        poll.register(pipe, event)
        if not poll.poll(max(0.0, until - time.monotonic()) * 1000):
            raise WorkerFailed("it takes too long")


class Workers:
    """The processes of one program: as many as there are calls at a time, kept for later calls. Thread-safe."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._idle: list[SandboxWorker] = []
        self._lock = Lock()
        atexit.register(self.close)

    def ask(self, request: Any, limit_s: float) -> Any:
        """Have a process answer a request. Blocks: call it from a thread; `limit_s` is in seconds of the wall clock.

        Raises:
            WorkerFailed: The process did not answer in time, or not at all. It was killed.
        """
        data = json.dumps(request).encode()
        with self._lock:
            worker = self._idle.pop() if self._idle else None
        if worker is None or worker.process.poll() is not None:
            worker = self._replace(worker)
        try:
            reply = worker.ask(data, limit_s)
        except BaseException:
            worker.close()
            raise
        with self._lock:
            self._idle.append(worker)
        return reply

    def _replace(self, ended: SandboxWorker | None) -> SandboxWorker:
        """Start a process, also in place of a process that the system has killed for lack of memory."""
        if ended is not None:
            ended.close()
        try:
            return SandboxWorker(self._program)
        except OSError as error:
            raise WorkerFailed(repr(error)) from error

    @property
    def idle(self) -> list[int]:
        """The ids of the processes that wait for a request."""
        with self._lock:
            return [worker.process.pid for worker in self._idle]

    def close(self) -> None:
        """End the processes that wait for a request."""
        with self._lock:
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.close()


@cache
def shared_workers(program: Program) -> Workers:
    """Return the processes of a program that all servers in this Python process share.

    They may be shared because a worker keeps nothing of a request; starting one takes most of a second.
    """
    return Workers(program)
