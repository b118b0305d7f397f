"""Bridges one HTTP request from quart to the MCP SDK, which is an ASGI application."""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final, TypeAlias

import trio

from actors import Actor, Context, Exit, Supervision
from transport.wire.events import Drain
from transport.wire.messages import Close

Message: TypeAlias = MutableMapping[str, Any]
QUEUE: Final = 16
"""Limit of pieces of a response that wait for the client; then `send` waits."""
WRITE_S: Final = 60.0
"""Seconds that `send` waits for the client before the request is abandoned."""
HEAD_S: Final = 60.0
"""Seconds to wait for the head of the response; the SDK begins a stream at the latest after its ping interval."""


class AsgiExchange:
    """A request and its response. The ASGI application calls `receive` and `send`, the HTTP handler the other methods.

    Iterate it for the body of the response; `aclose` ends the exchange. `left` is set when the client is gone.
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
        """Return the request's body; from the second call on, wait for the client to disconnect."""
        await trio.lowlevel.checkpoint()
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Accept the head or a piece of the response."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in message["headers"]]
            self._started.set()
        elif message.get("body"):
            with trio.move_on_after(WRITE_S) as scope:
                try:
                    await self._put.send(message["body"])
                except trio.BrokenResourceError:
                    self.left.set()
            if scope.cancelled_caught:
                self.left.set()
        await trio.lowlevel.checkpoint()

    async def finish(self) -> None:
        """End the body after the pieces already sent. Call it when the application has returned."""
        self._started.set()
        await self._put.aclose()

    async def started(self) -> None:
        """Wait for the head of the response, at most `HEAD_S`."""
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
        """End the exchange, because the response is complete or the client is gone."""
        self.left.set()
        await self._take.aclose()


class AsgiExchangeActor(Actor):
    """Runs `serve` for one exchange. Start it as a temporary child; it ends with the exchange."""

    supervision = Supervision()

    def __init__(self, exchange: AsgiExchange, serve: Callable[[AsgiExchange], Awaitable[None]]) -> None:
        self._exchange, self._serve_exchange = exchange, serve

    async def on_start(self, context: Context) -> None:
        """Start to answer."""
        context.start_soon(self._serve, context, name="serve")

    async def receive(self, message: object, context: Context) -> None:
        """Stop on Close, and at the end of a drain: the client then repeats the request at another node."""
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
