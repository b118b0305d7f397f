"""A TCP proxy that cuts a connection once, in the middle of the server's output."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import trio


@asynccontextmanager
async def cutting(port: int, after: bytes) -> AsyncIterator[int]:
    """Forward to `port`. Yield the proxy's own port.

    The first connection on which the server sends `after` is cut there; the client does not get that piece.
    """
    state = {"cut": False}

    async def serve(client: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async with client, await trio.open_tcp_stream("127.0.0.1", port) as server, trio.open_nursery() as nursery:
                nursery.start_soon(_outward, client, server, nursery.cancel_scope)
                await _inward(server, client, after, state)
                nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        await nursery.start(trio.serve_listeners, serve, [listener])
        yield listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()


async def _outward(client: trio.SocketStream, server: trio.SocketStream, over: trio.CancelScope) -> None:
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        async for piece in client:
            await server.send_all(piece)
    over.cancel()


async def _inward(server: trio.SocketStream, client: trio.SocketStream, after: bytes, state: dict[str, bool]) -> None:
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        async for piece in server:
            if not state["cut"] and after in piece:
                state["cut"] = True
                return
            await client.send_all(piece)
