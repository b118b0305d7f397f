"""A server in its own process, started as an operator starts it, or forked: see `tests/servers/forked.py`."""

import os
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import trio
from attrs import define

from tests.servers.forked import Forked
from tests.servers.needed import SERVER_PYTHON

READY = "understudy is ready on "
READY_S = 120.0
"""Longest time until a server says that it is ready: a busy machine takes a minute."""


class ForkedProcess:
    """A forked server, with the methods of `trio.Process`."""

    def __init__(self, forked: Forked) -> None:
        self._forked = forked
        self.stdout = trio.lowlevel.FdStream(os.dup(forked.stdout.fileno()))
        forked.stdout.close()

    @property
    def pid(self) -> int:
        return self._forked.pid

    @property
    def returncode(self) -> int | None:
        return self._forked.returncode

    def send_signal(self, number: int) -> None:
        self._forked.send_signal(number)

    def kill(self) -> None:
        self._forked.kill()

    def terminate(self) -> None:
        self._forked.terminate()

    async def wait(self) -> int:
        while (code := self._forked.returncode) is None:
            await trio.lowlevel.wait_readable(self._forked.line)
        return code


@define
class Process:
    """A server that runs, and where it answers."""

    process: trio.Process | ForkedProcess
    address: str

    async def kill(self) -> None:
        self.process.kill()
        await self.process.wait()

    async def terminate(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return await self.process.wait()


@asynccontextmanager
async def started(
    data_dir: Path,
    *options: str,
    port: int = 0,
    log: Path | None = None,
    loads: bool = False,
    modules: tuple[str, ...] = (),
    release: int = 0,
    **environment: str,
) -> AsyncIterator[Process]:
    """Start a server on a free port and wait for its ready line. It is killed at the end of the block if it still runs.

    Its log is written to `log`, by default beside its data. One that `loads` loads the product, as an operator's does;
    any other is forked from a process that has loaded it, and these `modules`. `release`: a later one of the tests'.
    """
    arguments, log = ["--port", str(port), "--data-dir", str(data_dir), *options], log or data_dir.with_suffix(".log")
    if loads or release:
        start = _executed([*command_of(release), "serve", *arguments], log, environment)
    else:
        start = _forked(arguments, data_dir, log, environment, modules)
    async with start as process:
        try:
            yield Process(process, await _address(process, trio.Path(log)))
        finally:
            if process.returncode is None:
                process.kill()


def command_of(release: int) -> list[str]:
    """Return the command `understudy` of this release, 0, or of a later one of the tests' (`later.RELEASES`)."""
    return [SERVER_PYTHON, "-m", *(["tests.understudy.storage.later", str(release)] if release else ["understudy"])]


@asynccontextmanager
async def _executed(command: list[str], log: Path, environment: dict[str, str]) -> AsyncIterator[trio.Process]:
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
        yield process


@asynccontextmanager
async def _forked(
    arguments: list[str], data_dir: Path, log: Path, environment: dict[str, str], modules: tuple[str, ...]
) -> AsyncIterator[ForkedProcess]:
    async with await trio.open_file(log, "wb") as errors:
        forked = Forked(arguments, os.environ | environment, errors.wrapped, data_dir=data_dir, modules=modules)
    process = ForkedProcess(forked)
    async with process.stdout:
        with trio.CancelScope(shield=True), trio.fail_after(READY_S):
            await trio.lowlevel.wait_readable(forked.line)
        try:
            yield process
        finally:
            with trio.CancelScope(shield=True):
                await process.wait()


async def _address(process: trio.Process | ForkedProcess, log: trio.Path) -> str:
    assert process.stdout is not None
    line = b""
    with trio.fail_after(READY_S):
        while not line.endswith(b"\n"):
            piece = await process.stdout.receive_some()
            assert piece, f"it ended before it was ready, code {await process.wait()}: {await log.read_text()}"
            line += piece
    return line.decode().strip().removeprefix(READY)


def refused(*options: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Start a server with options that it must refuse. Return the finished process with its output."""
    with tempfile.TemporaryFile("w+b") as errors:
        process = Forked(["--port", "0", *options], os.environ | environment, errors)
        with process.stdout:
            code = process.wait(READY_S)
            errors.seek(0)
            return subprocess.CompletedProcess(options, code, process.stdout.read(), errors.read().decode())
