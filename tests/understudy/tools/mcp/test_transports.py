"""What lies between the SDK and a server at an address."""

import time
from functools import partial

import httpx2
import pytest
import trio

from understudy.tools.mcp.transports import BoundedTransport


@pytest.mark.parametrize(("idle_s", "connections"), [(3.0, 1), (4.5, 2)])
async def test_a_connection_is_not_used_when_its_server_may_close_it(
    monkeypatch: pytest.MonkeyPatch, nursery: trio.Nursery, idle_s: float, connections: int
) -> None:
    """Servers close one that is idle for five seconds, and a request at that moment is lost."""
    opened = list[trio.SocketStream]()

    async def answer(stream: trio.SocketStream) -> None:
        opened.append(stream)
        async for _ in stream:  # a small request is one piece
            await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")

    (listener,) = await nursery.start(partial(trio.serve_tcp, answer, 0, host="127.0.0.1"))
    url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}/mcp"
    clock = time.monotonic
    async with httpx2.AsyncClient(transport=BoundedTransport(verify=True)) as client:
        assert (await client.get(url)).text == "{}"
        monkeypatch.setattr(time, "monotonic", lambda: clock() + idle_s)
        assert (await client.get(url)).text == "{}"
    assert len(opened) == connections
