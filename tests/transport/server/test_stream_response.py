"""Event streams on connections of their own: answers, writes, heartbeats and ends, over real sockets."""

import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import h11
import pytest
import trio
from attrs import define, field

from tests.rigs.loopback_server import exchange, open_server, status_and_body
from tests.transport.server.streams import a_stream, end_of
from transport.server.connection_limiter import ConnectionLimiter, ConnectionPermit
from transport.server.eventstream import EventStream
from transport.server.http import json_response
from transport.server.request_head import RequestHead
from transport.server.socket import SocketLimits
from transport.server.stream_response import StreamAnswer, StreamRequest, parse_request
from transport.wire.errors import SocketClosed

GET = b"GET /stream?after=3 HTTP/1.1\r\nHost: here\r\nAccept: text/event-stream\r\n\r\n"
HELLO = b": hello\n\n"


@define
class Answers:
    """Answers every request for `/stream` with this body."""

    body: EventStream | bytes
    status: int = 200
    requests: list[StreamRequest] = field(factory=list)

    def takes(self, path: bytes) -> bool:
        return path == b"/stream"

    async def handle_stream(self, request: StreamRequest) -> StreamAnswer:
        self.requests.append(request)
        return StreamAnswer(self.status, [("Content-Type", "text/event-stream"), ("Content-Length", "7")], self.body)


@asynccontextmanager
async def asking(port: int, request: bytes = GET, **options: Any) -> AsyncIterator[trio.SocketStream]:
    """A connection on which a request was sent; `receive_buffer` is its size in bytes."""
    client_socket = trio.socket.socket()
    if options:
        client_socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, options["receive_buffer"])
    await client_socket.connect(("127.0.0.1", port))
    async with trio.SocketStream(client_socket) as client:
        await client.send_all(request)
        yield client


async def read_until(client: trio.abc.ReceiveStream, mark: bytes) -> bytes:
    received = b""
    with trio.fail_after(60):
        while mark not in received:
            chunk = await client.receive_some(65536)
            assert chunk, received
            received += bytes(chunk)
    return received


async def rest_of(client: trio.abc.ReceiveStream) -> bytes:
    with trio.fail_after(60):
        return b"".join([bytes(chunk) async for chunk in client])


async def test_events_are_chunks_of_one_response() -> None:
    """The head closes the connection after the response; what was queued comes first, and the last chunk at the end."""
    stream = a_stream(head=HELLO)
    answers = Answers(stream)
    async with open_server(streams=answers) as port, asking(port) as client:
        received = await read_until(client, HELLO)
        await stream.write([b"data: 1\n\n", b"data: 2\n\n"])
        received += await read_until(client, b"data: 2\n\n\r\n")
        await stream.close(1001)
        received += await rest_of(client)
    head, _, body = received.partition(b"\r\n\r\n")
    lines = [line.lower() for line in head.split(b"\r\n")]
    assert lines[0] == b"http/1.1 200 ok"
    assert {b"content-type: text/event-stream", b"connection: close", b"transfer-encoding: chunked"} <= {*lines}
    assert any(line.startswith(b"date: ") for line in lines)
    assert not any(line.startswith(b"content-length") for line in lines)
    assert body == b"9\r\n: hello\n\n\r\n12\r\ndata: 1\n\ndata: 2\n\n\r\n0\r\n\r\n"
    (request,) = answers.requests
    assert (request.path, request.query, request.http_version, request.secure) == ("/stream", b"after=3", "1.1", False)
    assert (b"accept", b"text/event-stream") in request.headers


async def test_a_client_of_http_1_0_gets_no_chunks() -> None:
    """The end of the connection is the end of its stream."""
    stream = a_stream(head=HELLO)
    async with open_server(streams=Answers(stream)) as port, asking(port, b"GET /stream HTTP/1.0\r\n\r\n") as client:
        received = await read_until(client, HELLO)
        await stream.close(1001)
        received += await rest_of(client)
    assert b"chunked" not in received
    assert received.endswith(b"\r\n\r\n: hello\n\n")


async def test_a_refusal_is_a_whole_response() -> None:
    body = json_response(404, {}).partition(b"\r\n\r\n")[2]
    async with open_server(streams=Answers(body, 404)) as port:
        received = await exchange(port, GET)
    assert status_and_body(received) == (404, {})
    assert received.count(b"Content-Length") == 1
    assert b"Content-Length: 2\r\n" in received


@pytest.mark.parametrize(
    "request_",
    [
        GET.replace(b"/stream", b"/other"),
        GET.replace(b"GET", b"HEAD"),
        GET.replace(b"Accept: text/event-stream", b"Content-Length: 1"),
        GET.replace(b"Host: here\r\n", b""),
        GET + GET,
    ],
    ids=["path", "method", "body", "no host", "pipelined"],
)
async def test_any_other_request_is_the_applications(request_: bytes) -> None:
    """The HTTP server answers it, or refuses it."""
    answers = Answers(b"")
    async with open_server(streams=answers) as port, asking(port, request_) as client:
        await read_until(client, b"HTTP/1.1 ")
    assert not answers.requests


def test_only_a_complete_get_is_parsed() -> None:
    """A request with a body, or behind which another one follows, is not."""
    permit = ConnectionLimiter(1, 1).enter("here", lambda: None)
    assert isinstance(permit, ConnectionPermit)
    parsed = parse_request(RequestHead(GET.replace(b"/stream", b"/a%20b"), b""), "here", permit, secure=True)
    assert parsed is not None
    assert (parsed.path, parsed.peer, parsed.secure) == ("/a b", "here", True)
    for head in (RequestHead(GET, b"x"), RequestHead(GET.replace(b"GET", b"POST"), b"")):
        assert parse_request(head, "here", permit, secure=True) is None


async def test_later_bytes_of_a_client_mean_nothing() -> None:
    stream = a_stream(head=HELLO)
    async with open_server(streams=Answers(stream)) as port, asking(port) as client:
        await read_until(client, HELLO)
        await client.send_all(GET)
        await trio.testing.wait_all_tasks_blocked()
        stream.write_now([b"data: 1\n\n"])
        await read_until(client, b"data: 1\n\n")
        assert stream.open


async def test_a_client_that_reads_nothing_is_given_up() -> None:
    stream = a_stream(head=HELLO)
    ended = end_of(stream)
    limits = SocketLimits(write_s=0.3)
    written = 0

    async def write() -> None:
        nonlocal written
        while True:
            try:
                await stream.write([b"x" * 65536])
            except SocketClosed:
                return
            written += 65536

    async with (
        open_server(streams=Answers(stream), socket=limits) as port,
        asking(port, receive_buffer=4096),
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(write)
        with trio.fail_after(30):
            await ended.wait()
    assert stream.code == 1013
    assert written <= 8 * 65536, "the kernel's buffer is bounded"


def whole_body(received: bytes) -> bytes:
    http = h11.Connection(h11.CLIENT)
    http.send(h11.Request(method="GET", target="/", headers=[("Host", "here")]))
    http.receive_data(received)
    body = b""
    while not isinstance(event := http.next_event(), h11.EndOfMessage):
        assert isinstance(event, h11.Response | h11.Data), event
        body += event.data if isinstance(event, h11.Data) else b""
    return body


async def test_a_slow_client_gets_every_byte_in_order() -> None:
    stream = a_stream()
    pieces = [b"%06d" % number * 2000 for number in range(100)]

    async def write() -> None:
        for piece in pieces:
            if not stream.write_now([piece]):
                await stream.write([])
        await stream.close(1000)

    async with (
        open_server(streams=Answers(stream)) as port,
        asking(port, receive_buffer=4096) as client,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(write)
        received = await rest_of(client)
    assert whole_body(received) == b"".join(pieces)


async def test_a_write_that_is_cancelled_leaves_the_chunk_whole() -> None:
    stream = a_stream()
    big = b"x" * 1024 * 1024
    async with open_server(streams=Answers(stream)) as port, asking(port, receive_buffer=4096) as client:
        await read_until(client, b"\r\n\r\n")
        with trio.move_on_after(0.1) as limit:
            await stream.write([big])
        assert limit.cancelled_caught
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.write, [b"end"])
            body = await read_until(client, b"3\r\nend\r\n")
    assert body == b"100000\r\n" + big + b"\r\n3\r\nend\r\n"


async def test_a_server_that_is_cancelled_ends_its_streams() -> None:
    """With 1001, the events that wait, and the last chunk."""
    stream = a_stream(head=HELLO)
    async with AsyncExitStack() as clients:
        async with open_server(streams=Answers(stream)) as port:
            client = await clients.enter_async_context(asking(port))
            await read_until(client, HELLO)
        received = await rest_of(client)
    assert stream.code == 1001
    assert received.endswith(b"0\r\n\r\n")


async def test_a_stream_over_tls(server: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    stream = a_stream(head=HELLO)
    ended = end_of(stream)
    answers = Answers(stream)
    async with open_server(streams=answers, tls=server) as port:
        client = await trio.open_ssl_over_tcp_stream("127.0.0.1", port, ssl_context=trusting, https_compatible=True)
        await client.send_all(GET)
        await read_until(client, HELLO)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.write, [b"x" * 1_000_000])
            await read_until(client, b"x\r\n")
        await client.aclose()
        with trio.fail_after(60):
            await ended.wait()
    assert answers.requests[0].secure
    assert stream.code == 1006
