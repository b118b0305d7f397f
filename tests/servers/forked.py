"""Servers that are forked from a process that has loaded the product: a start costs a fifth of one that loads it.

What is forked runs `understudy serve` from its first line on. A test of the start itself starts a process of its own.
"""

import atexit
import functools
import json
import os
import select
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from tests.servers.needed import SERVER_PYTHON


@functools.cache
def _forker(modules: tuple[str, ...]) -> socket.socket:
    """Start a process that has loaded these modules, too. Return the socket for requests; it ends with this process."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        command = [SERVER_PYTHON, "-m", f"{__package__}.forker", *modules]
        process = subprocess.Popen(command, stdin=theirs, stdout=subprocess.DEVNULL)

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


class Forked:
    """A process that runs `understudy serve` with these options, with the methods of `subprocess.Popen`.

    `data_dir` is given a database at the newest schema if it has none, so the server has nothing to migrate. `modules`
    are loaded before the fork: what is large and shared by several servers of a test module. `page` is a folder from
    which the pages are served instead of those of the checkout: see `tests/servers/page.py`. `program` is a module that
    runs in place of `understudy serve`, as by `python -m`.
    """

    def __init__(
        self,
        options: Sequence[str],
        environment: Mapping[str, str],
        errors: IO[bytes],
        *,
        data_dir: Path | None = None,
        modules: tuple[str, ...] = (),
        page: Path | None = None,
        program: str | None = None,
    ) -> None:
        self.line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        read, write = os.pipe()
        elsewhere = "--database-url" in options or "UNDERSTUDY_DATABASE_URL" in environment
        data = None if data_dir is None or elsewhere else str(data_dir)
        request = {"options": options, "environment": dict(environment), "folder": os.getcwd(), "data_dir": data}
        request |= {"page": None if page is None else str(page), "program": program}
        try:
            descriptors = [theirs.fileno(), write, errors.fileno()]
            socket.send_fds(_forker(modules), [json.dumps(request).encode()], descriptors)
        finally:
            theirs.close()
            os.close(write)
        self.stdout = open(read, encoding="utf-8")  # noqa: SIM115 - closed by its owner, as that of a Popen
        self._pid: int | None = None
        self._code: int | None = None

    @property
    def pid(self) -> int:
        """The process id. Blocks until the process is forked."""
        if self._pid is None:
            number = self.line.recv(32)
            assert number, "the process that forks servers has ended"
            self._pid = int(number)
        return self._pid

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal; None while the process runs."""
        return self.poll()

    def poll(self) -> int | None:
        """Return the exit code, None while the process runs."""
        return self._read(socket.MSG_DONTWAIT)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end. Return the exit code.

        Raises:
            subprocess.TimeoutExpired: It has not ended after these seconds. It is killed.
        """
        if self._code is None and self.pid and not select.select([self.line], [], [], timeout)[0]:
            self.kill()
            self.wait()
            raise subprocess.TimeoutExpired("serve", timeout or 0)
        code = self._read(0)
        assert code is not None
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it has ended, and its exit code is on the way
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill the process (SIGKILL)."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Tell the process to stop (SIGTERM)."""
        self.send_signal(signal.SIGTERM)

    def _read(self, flags: int) -> int | None:
        if self._code is None:
            assert self.pid
            try:
                code = self.line.recv(32, flags)
            except BlockingIOError:
                return None
            assert code, "the process that waits for the server has ended"
            self._code = int(code)
            self.line.close()
        return self._code
