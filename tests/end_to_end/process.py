"""A server in its own process, started as an operator starts it."""

import atexit
import functools
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import trio
from attrs import define

READY = "understudy is ready on "
READY_S = 120.0
"""Longest time until a server says that it is ready: a busy machine takes a minute."""


@define
class Process:
    """A running `understudy serve`, and the address it printed."""

    process: trio.Process
    address: str

    async def kill(self) -> None:
        """Kill the process (SIGKILL)."""
        self.process.kill()
        await self.process.wait()

    async def terminate(self) -> int:
        """Send SIGTERM and wait. Return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return await self.process.wait()


@asynccontextmanager
async def started(
    data_dir: Path, *options: str, port: int = 0, log: Path = Path(os.devnull), **environment: str
) -> AsyncIterator[Process]:
    """Start a server on a free port and wait for its ready line. It is killed at the end of the block if it still runs.

    Its log is written to `log`.
    """
    command = [sys.executable, "-m", "understudy", "serve", "--port", str(port), "--data-dir", str(data_dir), *options]
    async with trio.open_nursery() as nursery, await trio.open_file(log, "wb") as errors:
        process: trio.Process = await nursery.start(
            partial(
                trio.run_process,
                command,
                stdout=subprocess.PIPE,
                stderr=errors.wrapped,
                check=False,
                env=os.environ | environment,
            )
        )
        try:
            yield Process(process, await _address(process))
        finally:
            if process.returncode is None:
                process.kill()


async def _address(process: trio.Process) -> str:
    assert process.stdout is not None
    line = b""
    with trio.fail_after(READY_S):
        while not line.endswith(b"\n"):
            piece = await process.stdout.receive_some()
            assert piece, "it ended before it was ready"
            line += piece
    return line.decode().strip().removeprefix(READY)


FORKING = """
import json, os, signal, sys
import understudy.app.server
from understudy.cli.main import main
for line in sys.stdin:
    options, environment, out, err = json.loads(line)
    if child := os.fork():
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
        continue
    signal.alarm(60)
    for number, path in enumerate((os.devnull, out, err)):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT), number)
    os.environ.clear()
    os.environ.update(environment)
    main(["serve", "--port", "0", *options], "understudy")
"""


@functools.cache
def _forking() -> "subprocess.Popen[str]":
    """Start a process that has loaded the server, and forks a process for each start: loading takes most of it."""
    process = subprocess.Popen(
        [sys.executable, "-c", FORKING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    atexit.register(process.communicate)
    return process


def refused(*options: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Start a server with options that it must refuse. Return the finished process with its output."""
    process = _forking()
    assert process.stdin is not None
    assert process.stdout is not None
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        print(json.dumps([options, os.environ | environment, str(out), str(err)]), file=process.stdin, flush=True)
        code = int(process.stdout.readline())
        return subprocess.CompletedProcess(options, code, out.read_text(), err.read_text())
