"""A server whose connections follow a script, over real sockets, and a client for it."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio
from attrs import define, field

from tests.rigs.loopback_server import open_server
from transport.server.listener import Upgrade
from transport.server.socket import Socket
from understudy.client import ChatExchange, Client, Received, Reconnect, open_client

QUICK = Reconnect(first_s=0.01, max_s=0.02, attempts=5, connect_s=60, ping_s=5.0)
WAIT_S = 300

Step = Callable[[Socket], Awaitable[None]]


def event(kind: str, seq: int | None = None, thread_id: str | None = "t", **data: Any) -> bytes:
    """A frame of the canonical dialect; missing required members of the event are added."""
    frame: dict[str, Any] = {"type": kind, "data": _NEEDED.get(kind, {}) | data}
    if seq is not None:
        frame["seq"] = seq
    if thread_id is not None:
        frame["thread_id"] = thread_id
    return json.dumps(frame).encode()


def of_run(frame: bytes, run_id: str = "r", message_id: str = "mine") -> bytes:
    return json.dumps(json.loads(frame) | {"run_id": run_id, "message_id": message_id}).encode()


_NEEDED: dict[str, dict[str, Any]] = {
    "agent_thinking": {"agent_id": "a", "thought": "so", "timestamp": 0.0},
    "message_accepted": {"message_id": "mine", "run_id": "r", "content": "hi"},
    "final_response": {"message": "the answer", "status": "success", "usage": {}},
    "error": {"code": "busy", "message": "No.", "retryable": False, "error_id": "e"},
    "welcome": {
        "connection_id": "c", "user": "u", "session": "s", "version": "1", "limits": {}, "heartbeat_s": 25.0,
        "threads": {}, "capabilities": [],
    },
}  # fmt: skip


@define
class Script:
    """Each connection follows its step; the last step is used again for all later ones."""

    steps: list[Step]
    upgrades: list[Upgrade] = field(factory=list)
    came: list[float] = field(factory=list)

    async def serve(self, upgrade: Upgrade) -> None:
        step = self.steps[min(len(self.upgrades), len(self.steps) - 1)]
        self.upgrades.append(upgrade)
        self.came.append(trio.current_time())
        await step(await upgrade.accept("understudy.v1"))


@asynccontextmanager
async def talking(*steps: Step, **options: Any) -> AsyncIterator[tuple[Client, Script]]:
    script = Script(list(steps))
    settings = {"reconnect": QUICK} | options
    async with open_server(script.serve) as port, open_client(f"ws://127.0.0.1:{port}/ws", **settings) as client:
        yield client, script


async def hear(socket: Socket) -> Any:
    while True:
        command = json.loads(await socket.receive())
        if command["type"] != "hello":
            return command


async def stay(socket: Socket, *frames: bytes) -> None:
    """Write these frames, and keep the connection."""
    await socket.write(frames)
    while True:
        await socket.receive()


def staying(*frames: bytes) -> Step:
    return lambda socket: stay(socket, *frames)


async def next_events(events: Client | ChatExchange, count: int) -> list[Received]:
    with trio.fail_after(WAIT_S):
        return [await events.__anext__() for _ in range(count)]


async def seqs(client: Client, count: int) -> list[int | None]:
    return [received.seq for received in await next_events(client, count)]


async def kinds(events: Client | ChatExchange, count: int) -> list[str]:
    return [received.type for received in await next_events(events, count)]
