"""A server that can be restarted, and people who use `understudy chat` with it."""

import io
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import define, field
from rich.console import Console

from tests.rigs.http import get
from understudy import Agent
from understudy.app.server import Running, serve_app
from understudy.app.settings import Settings, with_values
from understudy.auth.sessions import open_tokens
from understudy.cli.server_address import ServerFailed
from understudy.extensions.terminal.chat import chat_session
from understudy.extensions.terminal.console import ChatConsole

WAIT_S = 60.0


@define
class House:
    """A server that can be stopped and started again at the same address with the same data."""

    settings: Settings
    agents: tuple[Agent, ...]
    nursery: trio.Nursery
    running: Running = field(init=False)
    _over: trio.CancelScope = field(init=False)

    async def start(self) -> None:
        self._over = trio.CancelScope()
        self.running = await self.nursery.start(self._serve)

    async def _serve(self, task_status: trio.TaskStatus[Running]) -> None:
        with self._over:
            await serve_app(self.settings, self.agents, task_status=task_status)

    async def stop(self) -> None:
        await self.running.stop()
        self._over.cancel()

    def token(self, ttl_s: float = 600) -> str:
        return open_tokens(self.settings).issue("ada", "s", ttl_s=ttl_s)

    async def get(self, path: str) -> Any:
        return await get(self.running, path, self.token())


@pytest.fixture
async def serve(
    tmp_path: Path, nursery: trio.Nursery, migrated: Path
) -> AsyncIterator[Callable[..., Awaitable[House]]]:
    """Return a function that starts servers, each at an address of its own. They are stopped after the test."""
    houses: list[House] = []

    async def start(*agents: Agent, **settings: Any) -> House:
        if not (tmp_path / "data").exists():
            shutil.copytree(migrated, tmp_path / "data")
        listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
        port = listener.socket.getsockname()[1]
        await listener.aclose()
        chosen = {"port": port, "data_dir": tmp_path / "data", "models_words_per_s": 5000.0} | settings
        houses.append(House(with_values(Settings(), **chosen), agents, nursery))
        await houses[-1].start()
        return houses[-1]

    yield start
    for house in houses:
        await house.stop()


class Heard(io.StringIO):
    """Output that a test can wait for."""

    def __init__(self) -> None:
        super().__init__()
        self.more = trio.Event()

    def write(self, text: str) -> int:
        self.more.set()
        return super().write(text)

    async def until(self, text: str) -> None:
        with trio.move_on_after(WAIT_S):
            while text not in self.getvalue():
                self.more = trio.Event()
                await self.more.wait()
        assert text in self.getvalue()


@define
class Sitter:
    """A user of the client: writes lines into a pipe and reads the output."""

    pen: int
    answers: Heard = field(factory=Heard)
    notes: Heard = field(factory=Heard)
    code: int | None = None
    refused: str = ""

    def type(self, *lines: str) -> None:
        os.write(self.pen, "".join(f"{line}\n" for line in lines).encode())

    async def enter(self, *lines: str, told: str = "", answered: str = "") -> None:
        """Type lines, and wait for a note or for a text of an answer."""
        self.type(*lines)
        await self.notes.until(told)
        await self.answers.until(answered)


@asynccontextmanager
async def sitting(
    house: House, *, token: str | None = None, agent: str = "guide", interactive: bool = False
) -> AsyncIterator[Sitter]:
    """A client in this process whose input is a pipe; it has ended at the end of the block."""
    source, pen = os.pipe()
    sitter = Sitter(pen)
    consoles = [Console(file=file, force_terminal=False, width=100) for file in (sitter.answers, sitter.notes)]
    screen = ChatConsole(*consoles, prompts=interactive)

    async def run() -> None:
        try:
            sitter.code = await chat_session(house.running.address, token, agent, screen, source)
        except ServerFailed as error:
            sitter.refused = str(error)

    try:
        with trio.fail_after(WAIT_S):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(run)
                yield sitter
                os.close(pen)
    finally:
        os.close(source)


@asynccontextmanager
async def talking(house: House, agent: str = "guide", token: str | None = None) -> AsyncIterator[Sitter]:
    """A client with prompts, which leaves at the end of the block, and has gone well."""
    async with sitting(house, token=token, agent=agent, interactive=True) as sitter:
        yield sitter
        sitter.type("/quit")
    assert sitter.code == 0
