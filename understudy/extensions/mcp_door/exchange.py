"""One HTTP request that the MCP SDK answers: the SDK is an ASGI application, and quart has no place for one."""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final, TypeAlias

import trio

from actors import Actor, Context, Exit, Supervision
from transport.wire.events import Drain
from transport.wire.messages import Close

Message: TypeAlias = MutableMapping[str, Any]
QUEUE: Final = 16
"""Pieces of a response that may wait for the client."""
WRITE_S: Final = 60.0
"""Seconds that a piece may wait for the client, before the request is given up."""
HEAD_S: Final = 60.0
"""Seconds within which the SDK must begin its response: it begins a stream at latest after its ping interval."""


class AsgiExchange:
    """A request and its response: `receive` and `send` are for the application; the others are for the HTTP handler.

    Iterate it for the body of the response; `aclose` ends the exchange.
    """

    def __init__(self, scope: Mapping[str, Any], body: bytes) -> None:
        self.scope: dict[str, Any] = dict(scope)
        self.status = 500
        self.headers: list[tuple[str, str]] = []
        self.left = trio.Event()
        self._started = trio.Event()
        self._body: bytes | None = body
        self._put, self._take = trio.open_memory_channel[bytes](QUEUE)

    async def receive(self) -> Message:
        """Return the request's body, and then, once it has happened, that the client is gone."""
        await trio.lowlevel.checkpoint()
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Take the head or a piece of the response."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in message["headers"]]
            self._started.set()
        elif message.get("body"):
            with trio.move_on_after(WRITE_S) as waited:
                try:
                    await self._put.send(message["body"])
                except trio.BrokenResourceError:
                    self.left.set()
            if waited.cancelled_caught:
                self.left.set()
        await trio.lowlevel.checkpoint()

    async def finish(self) -> None:
        """End the body, after what was sent: the application has returned."""
        self._started.set()
        await self._put.aclose()

    async def started(self) -> None:
        """Wait for the head of the response."""
        with trio.move_on_after(HEAD_S):
            await self._started.wait()

    def __aiter__(self) -> "AsgiExchange":
        return self

    async def __anext__(self) -> bytes:
        try:
            return await self._take.receive()
        except trio.EndOfChannel:
            raise StopAsyncIteration from None

    async def aclose(self) -> None:
        """End the exchange: the response is complete, or its client is gone."""
        self.left.set()
        await self._take.aclose()


class AsgiExchangeActor(Actor):
    """Has `serve` answer one exchange. Start it as a temporary child; it ends with the exchange."""

    supervision = Supervision()

    def __init__(self, exchange: AsgiExchange, serve: Callable[[AsgiExchange], Awaitable[None]]) -> None:
        self._exchange, self._serve_exchange = exchange, serve

    async def on_start(self, context: Context) -> None:
        """Start to answer."""
        context.start_soon(self._serve, context, name="serve")

    async def receive(self, message: object, context: Context) -> None:
        """End on Close, and when the server has drained: the client asks another node again."""
        match message:
            case Drain(closes_in_s=closes_in_s):
                context.set_timer("drain", closes_in_s, Close(1001))
            case Close():
                context.stop()

    async def on_stop(self, _: Context, reason: Exit) -> None:
        """End the response."""
        await self._exchange.finish()

    async def _serve(self, context: Context) -> None:
        exchange = self._exchange
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._end_when_left, nursery.cancel_scope)
            await self._serve_exchange(exchange)
            nursery.cancel_scope.cancel()
        context.stop()

    async def _end_when_left(self, scope: trio.CancelScope) -> None:
        await self._exchange.left.wait()
        scope.cancel()
