"""A real server on a free port, and a client that sends commands and records events."""

import json
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import trio
from attrs import define, field
from trio_websocket import WebSocketConnection, wrap_client_stream

from understudy.agents.agent import Agent
from understudy.app.server import Running, serve_app
from understudy.app.settings import Settings, with_values

TERMINAL = ("final_response", "error")


@asynccontextmanager
async def served(data_dir: Path, agents: Sequence[Agent] = (), **settings: Any) -> AsyncIterator[Running]:
    """Serve until the block ends. The offline model streams without delay."""
    settings = {"models_words_per_s": 10_000.0, "grace_s": 1.0, "local_operator": False, **settings}
    async with trio.open_nursery() as nursery:
        yield await nursery.start(
            partial(serve_app, with_values(Settings(), port=0, data_dir=data_dir, **settings), agents)
        )
        nursery.cancel_scope.cancel()


def socket_url(running: Running, path: str = "/ws") -> str:
    """Return the address of a WebSocket of the server."""
    return running.address.replace("http", "ws", 1) + path


@define
class Peer:
    """One WebSocket, and the events that came."""

    socket: WebSocketConnection
    thread_id: str = field(factory=lambda: uuid.uuid4().hex)
    events: list[dict[str, Any]] = field(factory=list)

    async def send(self, kind: str, **payload: Any) -> None:
        await self.socket.send_message(json.dumps({"type": kind, "payload": payload}))

    async def say(self, content: str, agent: str = "guide", **more: Any) -> None:
        """Send a message to an agent, in this client's thread."""
        await self.send("user_message", content=content, agent_type=agent, thread_id=self.thread_id, **more)

    async def until(self, *kinds: str) -> dict[str, Any]:
        """Read up to the next event of one of these types. Return it."""
        with trio.fail_after(60):
            while True:
                event = json.loads(await self.socket.get_message())
                self.events.append(event)
                if event["type"] in kinds:
                    return event

    async def ask(self, content: str, agent: str = "guide", **more: Any) -> dict[str, Any]:
        await self.say(content, agent, **more)
        return await self.until(*TERMINAL)

    def all(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == kind]


@asynccontextmanager
async def connected(running: Running, token: str | None = None, path: str = "/ws") -> AsyncIterator[Peer]:
    """Yield a connection after its welcome. With `token` it belongs to the same user as another one."""
    headers = [("Authorization", f"Bearer {token}")] if token else []
    host, port = running.address.removeprefix("http://").split(":")
    # A stream of our own: trio-websocket leaves that of a dropped connection to the garbage collector.
    async with await trio.open_tcp_stream(host, int(port)) as stream, trio.open_nursery() as nursery:
        socket = await wrap_client_stream(nursery, stream, f"{host}:{port}", path, extra_headers=headers)
        peer = Peer(socket)
        await peer.until("welcome")
        yield peer
        await socket.aclose()
        nursery.cancel_scope.cancel()
