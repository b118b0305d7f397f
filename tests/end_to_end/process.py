"""A server in its own process, started as an operator starts it."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import trio
from attrs import define

READY = "understudy is ready on "


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
    with trio.fail_after(30):
        while not line.endswith(b"\n"):
            piece = await process.stdout.receive_some()
            assert piece, "it ended before it was ready"
            line += piece
    return line.decode().strip().removeprefix(READY)


def refused(*options: str, **environment: str) -> Any:
    """Start a server with options that it must refuse. Return the finished process with its output."""
    command = [sys.executable, "-m", "understudy", "serve", "--port", "0", *options]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=30, env=os.environ | environment, check=False
    )
