"""What lies between the SDK and a server at an address."""

import time
from functools import partial

import httpx2
import pytest
import trio
import trio.testing

from understudy.extensions.mcp.transports import BoundedTransport


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


@pytest.mark.parametrize("kind", [b"application/json", b"text/event-stream"])
async def test_halves_of_characters_are_mended_wherever_a_response_is_divided(
    nursery: trio.Nursery, kind: bytes
) -> None:
    async def answer(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: %s\r\n\r\n" % kind)
        for piece in (b'data: "cut \\ud8', b"3d, \\ud83d\\ude00, \\\\ud83d, \xc3", b'\xa4, \xff"\n\n'):
            await stream.send_all(piece)
            await trio.testing.wait_all_tasks_blocked()
        await stream.aclose()

    (listener,) = await nursery.start(partial(trio.serve_tcp, answer, 0, host="127.0.0.1"))
    async with httpx2.AsyncClient(transport=BoundedTransport(verify=True)) as client:
        text = (await client.get(f"http://127.0.0.1:{listener.socket.getsockname()[1]}/mcp")).text
    assert text == 'data: "cut \\ufffd, \\ud83d\\ude00, \\\\ud83d, ä, \ufffd"\n\n'
