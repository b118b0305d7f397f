"""Connections without a token, more than a server takes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import trio.testing


@asynccontextmanager
async def flooded(address: str, number: int, sent: bytes) -> AsyncIterator[list[trio.SocketStream]]:
    """Open this many connections from one address, each of which sends these bytes and then stalls."""
    where = urlsplit(address)
    streams = []
    try:
        for _ in range(number):
            stream = await trio.open_tcp_stream(where.hostname or "", where.port or 80)
            streams.append(stream)
            with suppress(trio.BrokenResourceError):  # already closed by the limit
                await stream.send_all(sent)
        yield streams
    finally:
        for stream in streams:
            await trio.aclose_forcefully(stream)
