"""uvicorn with websockets on uvloop: the same work as `ours`, as one would write it there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import uvicorn

from benchmarks.wire.events import BURST, dictionaries
from benchmarks.wire.paces import Paces
from benchmarks.wire.servers.control import announce, freeze, listen, pin

Send = Callable[[Any], Awaitable[None]]
Receive = Callable[[], Awaitable[Any]]
encode = msgspec.json.Encoder().encode


class Room:
    """Connections that are all sent the same frames, each by a task of its own."""

    def __init__(self, name: str, clients: int) -> None:
        self.name = name
        self.paces = Paces(clients, self.send)
        self.queues: list[asyncio.Queue[list[str]]] = []

    def send(self, after: int) -> None:
        """A burst for everybody, encoded once."""
        frames = [encode(event).decode() for event in dictionaries(self.name, after)]
        for queue in self.queues:
            queue.put_nowait(frames)


rooms: dict[str, Room] = {}


async def push(queue: asyncio.Queue[list[str]], send: Send) -> None:
    """Send what is queued, one frame an event."""
    while True:
        for frame in await queue.get():
            await send({"type": "websocket.send", "text": frame})


async def app(scope: Any, receive: Receive, send: Send) -> None:
    """An echo at `/echo`; at `/events` what the client's message says."""
    await receive()
    await send({"type": "websocket.accept"})
    if scope["path"] == "/echo":
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})
        return
    thread_id, after = f"user-{id(receive)}", 0
    pushing: asyncio.Task[None] | None = None
    while (message := await receive())["type"] == "websocket.receive":
        match msgspec.json.decode(message["text"])["payload"]["content"].split():
            case ["own", bursts]:
                for _ in range(int(bursts)):
                    for event in dictionaries(thread_id, after):
                        await send({"type": "websocket.send", "text": encode(event).decode()})
                    after += BURST
                    await asyncio.sleep(0)
            case ["together", bursts]:
                for _ in range(int(bursts)):
                    frame = encode(dictionaries(thread_id, after)).decode()
                    await send({"type": "websocket.send", "text": frame})
                    after += BURST
                    await asyncio.sleep(0)
            case ["room", name, clients]:
                room = rooms.setdefault(name, Room(name, int(clients)))
                if pushing is None:
                    queue: asyncio.Queue[list[str]] = asyncio.Queue()
                    room.queues.append(queue)
                    pushing = asyncio.create_task(push(queue, send))
                room.paces.take()
    if pushing is not None:
        pushing.cancel()


def main() -> None:
    """Serve until the process ends."""
    pin()
    listener = listen()
    freeze()
    announce(listener.getsockname()[1])
    config = uvicorn.Config(
        app, loop="uvloop", ws="websockets-sansio", ws_per_message_deflate=False, ws_ping_interval=300.0,
        lifespan="off", log_level="critical",
    )  # fmt: skip
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
