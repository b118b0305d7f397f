"""The wire in numbers, beside uvicorn with websockets on uvloop. Each server has a process and a core of its own.

fan-out   events a second to 50 connections: bursts of 100 events of about 300 bytes, each its own frame
echo      messages a second there and back, over 50 connections at once

Both servers encode an event once and send it to everybody, and are at most five bursts ahead of their clients. Ours
goes the whole way: mailbox, outbox, session, encoder, socket, and the metrics of a real server, of which the peer has
none. The clients only count, in this process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any

import trio
from websockets.client import ClientProtocol
from websockets.uri import parse_uri

from actors import ActorRef, ActorSystem, ChildSpec, Restart
from transport.codec import encode
from transport.dialects import Dialect
from transport.encoder import Encoder
from transport.errors import SocketClosed
from transport.events import AgentThinking, Envelope
from transport.outbox import Deliver, Follow, LogPage, Outbox
from transport.websocket import Upgrade, serve_door
from understudy.observe.metrics import Metrics

from .figure import Figure, medians

CONNECTIONS = 50
BURST = 100
BURSTS_AHEAD = 5
SECONDS = 0.8
MARK = b"<end>"
ECHO = b"x" * 100
THOUGHT = "What the agent is about to do, in a sentence of fifty or so letters."


def burst(after: int) -> list[Envelope]:
    """The next hundred events of a thread; the last one carries the mark that clients count."""
    now = time.time()
    return [
        Envelope(
            AgentThinking("guide", THOUGHT + (MARK.decode() if seq == after + BURST else ""), now),
            now,
            seq=seq,
            thread_id="thread-1",
            run_id="run-1",
            message_id="message-1",
            agent_type="guide",
        )
        for seq in range(after + 1, after + BURST + 1)
    ]


class Paces:
    """Sends a burst whenever all clients together have taken enough of those before."""

    def __init__(self, send: Callable[[list[Envelope]], None]) -> None:
        self.taken = 0
        self.bursts = 0
        self._send = send

    def take(self) -> None:
        """A client has taken a burst, or is ready for the first."""
        self.taken += 1
        while self.taken >= CONNECTIONS * max(1, self.bursts - BURSTS_AHEAD + 2):
            self._send(burst(self.bursts * BURST))
            self.bursts += 1


async def serve_ours(listener: socket.socket) -> None:
    """Our door: an outbox for each connection to `/events`, an echo elsewhere."""
    encoder = Encoder()
    metrics = Metrics()
    outboxes: list[ActorRef] = []

    def send(envelopes: list[Envelope]) -> None:
        messages = [Deliver(envelope) for envelope in envelopes]
        for outbox in outboxes:
            for message in messages:
                outbox.tell(message)

    async def read_log(thread_id: str, after: int, limit: int) -> LogPage:
        raise LookupError("no client is slow enough to need the log")

    async with ActorSystem("bench") as system:
        paces = Paces(send)

        async def on_upgrade(upgrade: Upgrade) -> None:
            stream = await upgrade.accept()
            if upgrade.path != "/events":
                while True:
                    message = await stream.receive()
                    await stream.write([message.encode() if isinstance(message, str) else message])
            spec = ChildSpec(
                f"outbox-{len(outboxes)}",
                lambda: Outbox(
                    stream,
                    Dialect.CANONICAL,
                    encoder=encoder,
                    read_log=read_log,
                    want_snapshot=lambda _: None,
                    observer=metrics,
                ),
                restart=Restart.TEMPORARY,
            )
            outbox = await system.spawn(spec)
            outbox.tell(Follow("thread-1", paces.bursts * BURST, paces.bursts * BURST))
            outboxes.append(outbox)
            with contextlib.suppress(SocketClosed):
                while True:
                    await stream.receive()
                    paces.take()

        trio_listener = trio.SocketListener(trio.socket.from_stdlib_socket(listener))
        await serve_door([trio_listener], asgi_app=_no_http, on_upgrade=on_upgrade)


async def _no_http(scope: Any, receive: Any, send: Any) -> None:
    """Nothing is asked over HTTP here."""


def serve_uvicorn(listener: socket.socket) -> None:
    """The same over ASGI: a task for each connection, one send for each event."""
    import uvicorn

    queues: list[asyncio.Queue[list[str]]] = []

    def send_burst(envelopes: list[Envelope]) -> None:
        frames = [(encode(envelope, Dialect.CANONICAL) or b"").decode() for envelope in envelopes]
        for queue in queues:
            queue.put_nowait(frames)

    paces = Paces(send_burst)

    async def push(queue: asyncio.Queue[list[str]], send: Callable[[Any], Awaitable[None]]) -> None:
        while True:
            for frame in await queue.get():
                await send({"type": "websocket.send", "text": frame})

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        if scope["path"] == "/events":
            queue: asyncio.Queue[list[str]] = asyncio.Queue()
            queues.append(queue)
            pushing = asyncio.create_task(push(queue, send))
            while (await receive())["type"] == "websocket.receive":
                paces.take()
            pushing.cancel()
        else:
            while (message := await receive())["type"] == "websocket.receive":
                await send({"type": "websocket.send", "text": message["text"]})

    config = uvicorn.Config(
        app, loop="uvloop", ws="websockets-sansio", ws_per_message_deflate=False, ws_ping_interval=None,
        lifespan="off", log_level="critical",
    )  # fmt: skip
    uvicorn.Server(config).run(sockets=[listener])


def _serve(kind: str) -> None:
    """A server process: on the first core, while the clients are on the last."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {0})
    listener = socket.create_server(("127.0.0.1", 0), backlog=CONNECTIONS)
    listener.setblocking(False)
    print(listener.getsockname()[1], flush=True)
    if kind == "ours":
        trio.run(partial(serve_ours, listener))
    else:
        serve_uvicorn(listener)


@contextlib.contextmanager
def _server(kind: str) -> Iterator[int]:
    command = [sys.executable, "-m", "benchmarks.wire", kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


def _connect(port: int, path: str) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    protocol = ClientProtocol(parse_uri(f"ws://127.0.0.1:{port}{path}"))
    protocol.send_request(protocol.connect())
    connection.sendall(b"".join(protocol.data_to_send()))
    while not protocol.events_received():
        protocol.receive_data(connection.recv(1))
    return connection


def _masked(payload: bytes) -> bytes:
    """A client's text frame under the mask of four zeros, which changes nothing."""
    return bytes((0x81, 0x80 | len(payload))) + b"\0\0\0\0" + payload


def _rate(kind: str, path: str, message: bytes, mark: bytes, weight: int) -> float:
    """Answer each mark with a message for a while; marks a second times their weight."""
    with _server(kind) as port, contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
        connections = [stack.enter_context(_connect(port, path)) for _ in range(CONNECTIONS)]
        tails = dict.fromkeys(connections, b"")
        for connection in connections:
            selector.register(connection, selectors.EVENT_READ)
            connection.sendall(message)
        marks = 0
        started = now = time.perf_counter()
        while now - started < SECONDS:
            for key, _ in selector.select(1.0):
                connection = key.fileobj  # type: ignore[assignment]
                data = tails[connection] + connection.recv(262_144)
                found = data.count(mark)
                if found:
                    marks += found
                    connection.sendall(message * found)
                    data = data[data.rindex(mark) + len(mark) :]
                tails[connection] = data[-len(mark) :]
            now = time.perf_counter()
        return marks * weight / (now - started)


def figures() -> Iterator[Figure]:
    """Fan-out and echo, ours and uvicorn's in turn."""
    go = _masked(b"go")
    fan_out = [partial(_rate, kind, "/events", go, MARK, BURST) for kind in ("ours", "uvicorn")]
    ours, peer = medians(*fan_out)
    yield Figure("fanout", "events/s", ours, {"uvicorn+websockets+uvloop": peer})
    echo = [partial(_rate, kind, "/echo", _masked(ECHO), ECHO, 1) for kind in ("ours", "uvicorn")]
    ours, peer = medians(*echo)
    yield Figure("echo", "messages/s", ours, {"uvicorn+websockets+uvloop": peer})


if __name__ == "__main__":
    _serve(sys.argv[1])
