"""A server on a free port of the loopback address, and raw connections to it."""

import asyncio
import http.client
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeAlias, TypeVar

import trio
from attrs import frozen
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

from transport.server.listener import ServerLimits, SocketHandler, Upgrade, serve
from transport.server.stream_response import StreamHandler

Answer = TypeVar("Answer")


async def run_as_asyncio(function: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer:
    """Run a stock client on an event loop of asyncio's own, in a thread.

    Once trio-asyncio is imported, `asyncio.run` makes a loop of trio-asyncio's, whose callbacks find no running loop:
    TLS with `websockets` fails there.
    """

    def run() -> Answer:
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            return runner.run(function())

    return await trio.to_thread.run_sync(run)


async def hello_app(scope: Any, receive: Any, send: Any) -> None:
    """An ASGI application that says hello, and has no lifespan."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        await send({"type": "http.response.body", "body": b"hello"})


async def echo(upgrade: Upgrade) -> SocketHandler | None:
    """Accept a socket, and send back what comes."""
    socket = await upgrade.accept()
    while True:
        message = await socket.receive()
        await socket.write([message.encode() if isinstance(message, str) else message])


OnUpgrade: TypeAlias = Callable[[Upgrade], Awaitable[SocketHandler | None]]


@frozen
class FunctionUpgradeHandler:
    """Calls a function for each upgrade."""

    handle: OnUpgrade

    async def handle_upgrade(self, upgrade: Upgrade) -> SocketHandler | None:
        return await self.handle(upgrade)


@asynccontextmanager
async def open_server(
    on_upgrade: OnUpgrade = echo,
    *,
    app: Callable[..., Awaitable[None]] = hello_app,
    tls: ssl.SSLContext | None = None,
    streams: StreamHandler | None = None,
    **limits: Any,
) -> AsyncIterator[int]:
    """Serve on a free port, which is yielded. The server is cancelled on exit."""
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        handler = FunctionUpgradeHandler(on_upgrade)
        bounds = ServerLimits(**limits)
        listen = partial(serve, asgi_app=app, upgrade_handler=handler, stream_handler=streams, limits=bounds, tls=tls)
        await nursery.start(listen, listeners)
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()


class RawSocket:
    """A WebSocket client over a plain stream, driven by the test."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.protocol = ClientProtocol(parse_uri("ws://127.0.0.1/"))
        self.frames: list[Frame] = []

    async def handshake(self, path: str = "/", **headers: str) -> None:
        request = self.protocol.connect()
        request.path = path
        offered = headers.get("Sec_WebSocket_Protocol")
        self.protocol.available_subprotocols = offered.split(", ") if offered else None
        for name, value in headers.items():
            request.headers[name.replace("_", "-")] = value
        self.protocol.send_request(request)
        await self.flush()
        while not self.protocol.events_received():
            self.protocol.receive_data(await self.stream.receive_some(1))
        assert self.protocol.handshake_exc is None

    async def flush(self) -> None:
        await self.stream.send_all(b"".join(self.protocol.data_to_send()))

    async def frame(self) -> Frame:
        """The next frame from the server. Raises EOFError at the end of the stream."""
        while not self.frames:
            data = await self.stream.receive_some(65536)
            if not data:
                raise EOFError
            self.protocol.receive_data(data)
            self.frames += self.protocol.events_received()
        return self.frames.pop(0)

    async def echoes(self, data: bytes) -> bool:
        """Send a text, and tell whether it comes back."""
        self.protocol.send_text(data)
        await self.flush()
        return (await self.frame()).data == data

    async def close_code(self) -> int:
        """Read the close frame, which must come next."""
        assert (await self.frame()).opcode is Opcode.CLOSE
        assert self.protocol.close_rcvd is not None
        return int(self.protocol.close_rcvd.code)


@asynccontextmanager
async def raw_socket(port: int, path: str = "/", **headers: str) -> AsyncIterator[RawSocket]:
    """Yield a socket whose handshake is done."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    async with stream:
        raw = RawSocket(stream)
        await raw.handshake(path, **headers)
        yield raw


async def exchange(port: int, data: bytes) -> bytes:
    """Send bytes. Return all that comes until the server closes."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(data)
        received = b""
        while chunk := await stream.receive_some(65536):
            received += chunk
        return received


def get(port: int, path: str = "/", **headers: str) -> tuple[int, bytes, http.client.HTTPMessage]:
    """One GET by the standard library's client: status, body, headers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read(), response.headers
    finally:
        connection.close()


def status_and_body(response: bytes) -> tuple[int, Any]:
    """Return the status and the body of a response."""
    head, _, body = response.partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]), json.loads(body)


UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
