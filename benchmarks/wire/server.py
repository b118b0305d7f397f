"""A server in a process of its own, as a benchmark sees it: a port, and its memory when asked."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType

from benchmarks.peers.home import CACHE, ROOT, Missing, run

START_S = 60.0
"""Longest time for a server to say its port, and to answer an order, in seconds."""
_CPU_CLOCK = 2
"""Linux: the clock of a process's CPU time is its id, inverted, shifted by 3, and this kind."""
WS_VERSION = "8.23.0"
"""The package ws for Node."""


class ServerFailed(Exception):
    """A server ended, broke its promise or took too long; the text says which."""


def module(name: str, *arguments: str) -> list[str]:
    """How to start one of the Python servers."""
    return [sys.executable, "-m", f"{__package__}.servers.{name}", *arguments]


def uvicorn() -> list[str]:
    """How to start the server on uvicorn; raises `Missing`."""
    if find_spec("uvicorn") is None or find_spec("uvloop") is None:
        raise Missing("uvicorn and uvloop are not installed (`make bench` does that)")
    return module("uvicorn_peer")


def node() -> list[str]:
    """How to start the server on Node. Fetches its package into `.bench` once; raises `Missing`."""
    program, npm = shutil.which("node"), shutil.which("npm")
    if program is None or npm is None:
        raise Missing("there is no node or no npm on the PATH")
    folder = CACHE / f"ws-{WS_VERSION}"
    if not (folder / "node_modules" / "ws").is_dir():
        if os.environ.get("CI"):
            raise Missing("nothing is fetched while changes are checked")
        print(f"peers: fetching ws {WS_VERSION} into {folder}", file=sys.stderr)
        folder.mkdir(parents=True, exist_ok=True)
        (CACHE / ".gitignore").write_text("*\n")
        run([npm, "install", "--silent", "--no-save", "--prefix", str(folder), f"ws@{WS_VERSION}"])
    return [program, "--expose-gc", str(Path(__file__).parent / "servers" / "node_ws.mjs"), str(folder)]


class Server:
    """A running server. Use it as a context; raises `ServerFailed` when it does not start."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self.name = name
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            bufsize=0,
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
        )
        try:
            self.port = int(self._line())
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Server:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def cpu_s(self) -> float:
        """Seconds of a core that all its threads have used so far. Raises ServerFailed when it has ended."""
        try:
            return time.clock_gettime(~self.pid << 3 | _CPU_CLOCK)
        except OSError as error:
            raise self.failed("it has ended") from error

    def memory(self) -> int:
        """Its resident bytes after a collection."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(b"memory\n")
        except BrokenPipeError as error:
            raise self.failed("it has ended") from error
        return int(self._line())

    def failed(self, what: str) -> ServerFailed:
        """The error that says what went wrong with it, and the last line of its error output."""
        self._log.seek(0)
        lines = [line.strip() for line in self._log.read().split("\n") if line.strip()]
        return ServerFailed(f"{self.name}: {what}" + (f" ({lines[-1][:200]})" if lines else ""))

    def close(self) -> None:
        """End it: at once, nothing of it is needed any more."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._log.close()

    def _line(self) -> str:
        output = self._process.stdout
        assert output is not None
        if not select.select([output], [], [], START_S)[0]:
            raise self.failed(f"no answer within {START_S:.0f} s")
        line = output.readline().decode().strip()
        if not line:
            raise self.failed("it ended")
        return line
