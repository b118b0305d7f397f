"""Servers that benchmarks kill, or whose actors they kill, while users are at work."""

from __future__ import annotations

import logging
import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import trio
from attrs import define, field

from actors import ActorRef
from transport.wire.events import Welcome
from understudy import Agent
from understudy.app.server import Running, serve_app
from understudy.app.settings import Settings
from understudy.chat.placement import actor_name
from understudy.client import Client, Reconnect, open_client
from understudy.storage.limits import Limits
from understudy.wire.events import Envelope

DATABASE = "understudy.db"
LIMITS = Limits(
    messages_per_minute=10**6, operations_per_minute=10**6, sessions_per_minute=10**6, runs_per_user=100, approval_s=5.0
)
READY = "understudy is ready on "
RECONNECT = Reconnect(first_s=0.05, max_s=0.2, attempts=10_000)
START_S = 120.0
"""Limit for the start of a process, on a machine with other work."""


@define(eq=False)
class User:
    """A client whose events are read; `name` is its user's, as the server keeps it."""

    client: Client
    name: str = ""
    welcomed: trio.Event = field(factory=trio.Event)

    async def read(self, on_event: Callable[[Envelope], object]) -> None:
        """Read all events, which else would fill the client's queue."""
        async for event in self.client:
            if isinstance(event.event, Welcome):
                self.name = event.event.user
                self.welcomed.set()
            on_event(event)


@asynccontextmanager
async def users(
    address: str, count: int, on_event: Callable[[Envelope], object] = lambda _: None
) -> AsyncIterator[list[User]]:
    """Open the clients of so many users of a server, and read their events."""
    url = address.replace("http", "ws", 1) + "/ws"
    async with AsyncExitStack() as stack:
        found = [User(await stack.enter_async_context(open_client(url, reconnect=RECONNECT))) for _ in range(count)]
        async with trio.open_nursery() as nursery:
            for user in found:
                nursery.start_soon(user.read, on_event)
            for user in found:
                await user.welcomed.wait()
            yield found
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def started(
    *command: str, ready: str = "", environment: Mapping[str, str] | None = None
) -> AsyncIterator[tuple[trio.Process, str]]:
    """Start a process; yield it with the first line that starts so. It is killed at the end.

    `environment`: variables that it has besides those of this process.
    """
    async with trio.open_nursery() as nursery:
        start = partial(trio.run_process, [sys.executable, "-m", *command], stdout=subprocess.PIPE, check=False)
        start = partial(start, env={**os.environ, **(environment or {})})
        process: trio.Process = await nursery.start(partial(start, stderr=subprocess.DEVNULL))
        text = ""
        try:
            with trio.fail_after(START_S):
                while not any(line.startswith(ready) for line in text.split("\n")[:-1]):
                    assert process.stdout is not None
                    text += (await process.stdout.receive_some()).decode()  # type: ignore[attr-defined]
            yield process, next(line for line in text.split("\n") if line.startswith(ready)).removeprefix(ready)
        finally:
            if process.returncode is None:
                process.kill()


@asynccontextmanager
async def serving(folder: Path, agent: Agent) -> AsyncIterator[Running]:
    """Serve an agent in this process, without its log, which tells of every kill."""
    logging.disable()
    try:
        async with trio.open_nursery() as nursery:
            settings = Settings(port=0, data_dir=folder, limits=LIMITS)
            running: Running = await nursery.start(partial(serve_app, settings, [agent]))
            yield running
            await running.stop()
            nursery.cancel_scope.cancel()
    finally:
        logging.disable(logging.NOTSET)


@define
class KilledServer:
    """A server in a process of its own that is killed again and again, at `address`; `done` after the last kill.

    `reached` once the present process has welcomed a user.
    """

    address: str
    done: trio.Event = field(factory=trio.Event)
    reached: trio.Event = field(factory=trio.Event)

    def note(self, event: Envelope) -> None:
        """Take an event of a user into account."""
        if isinstance(event.event, Welcome):
            self.reached.set()


@asynccontextmanager
async def killed_server(
    folder: Path, agent: str, lives_s: tuple[float, float], on_kill: Callable[[], bool]
) -> AsyncIterator[KilledServer]:
    """Serve an agent, `MODULE:ATTRIBUTE`, and kill the server after a time in `lives_s` until `on_kill` returns False.

    That time begins when a user is welcomed, after START_S at the latest, so that each process gets to work. The last
    one lives on. `on_kill` is called after each kill.
    """
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    serve = ("understudy", "serve", "--port", str(port), "--data-dir", str(folder), agent)
    found = KilledServer(f"http://127.0.0.1:{port}")

    async def kill() -> None:
        again = True
        while True:
            found.reached = trio.Event()
            async with started(*serve, ready=READY) as (server, _):
                if not again:
                    found.done.set()
                    await trio.sleep_forever()
                with trio.move_on_after(START_S):
                    await found.reached.wait()
                await trio.sleep(random.uniform(*lives_s))
                server.kill()
                await server.wait()
                again = on_kill()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(kill)
        yield found
        nursery.cancel_scope.cancel()


def conversation(running: Running, user: User, thread_id: str, *below: str) -> ActorRef | None:
    """Return the actor of a thread, or the one `below` it: a run by its id, then a call of it."""
    return running.system.find("/".join(("/system/conversations", actor_name(user.name, thread_id), *below)))
