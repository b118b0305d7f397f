"""Servers that do everything wrong: never a hang, never memory without bound, never a busy loop."""

import gzip
import json
import ssl
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio
import trustme
from attrs import evolve
from trio.testing import MockClock

from tests.transport.client.scripted import QUICK, event, hear, kinds, next_events, stay, staying, talking
from transport.client.decoder import MAX_FRAME_BYTES
from transport.server.socket import Socket
from transport.wire.errors import SocketClosed
from transport.wire.payloads import Binary
from understudy.client import Reconnect, Status, open_client

Serve = Callable[[trio.SocketStream], Awaitable[None]]
BRIEF = Reconnect(first_s=0.01, max_s=0.01, attempts=2, connect_s=60)
FOR_SILENCE = evolve(BRIEF, connect_s=0.3)


@asynccontextmanager
async def raw(serve: Serve) -> AsyncIterator[tuple[str, list[int]]]:
    """A TCP server that runs `serve` on each connection; yields its address and a list with an entry for each."""
    came: list[int] = []

    async def one(stream: trio.SocketStream) -> None:
        async with stream:
            came.append(1)
            try:
                await serve(stream)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return  # the client has left

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, one, 0)
        yield f"ws://127.0.0.1:{listeners[0].socket.getsockname()[1]}/ws", came
        nursery.cancel_scope.cancel()


def saying(*pieces: bytes, end: bool = True) -> Serve:
    """Answer the handshake with these bytes, then end or fall silent."""

    async def serve(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        for piece in pieces:
            await stream.send_all(piece)
        if not end:
            await trio.sleep_forever()

    return serve


ANSWERS = {
    "nothing": b"",
    "not http": b"SSH-2.0-OpenSSH_9.2\r\n",
    "binary": bytes(range(256)) * 4,
    "half a line": b"HTTP/1.1 10",
    "a page": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    "no key": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    "a wrong key": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: bm90IHRoZSByaWdodCBrZXk=\r\n\r\n",
    "strange headers": b"HTTP/1.1 101 \xff\r\n\xe4: \xff\r\nUpgrade: \x00\r\n\r\n",
    "a cut body": b"HTTP/1.1 503 Busy\r\nContent-Length: 500\r\n\r\nhi",
    "chunks": b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a negative length": b"HTTP/1.1 401 No\r\nContent-Length: -5\r\n\r\n",
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("end", [True, False], ids=["and hangs up", "and falls silent"])
async def test_a_malformed_handshake_is_a_failed_attempt(answer: bytes, end: bool) -> None:
    """It ends at the deadline of the attempt, at once where the server hangs up; then the client gives up."""
    reconnect = BRIEF if end else FOR_SILENCE
    async with raw(saying(answer, end=end)) as (url, came), open_client(url, reconnect=reconnect) as client:
        with trio.fail_after(BRIEF.connect_s), pytest.raises(SocketClosed):
            await anext(client)
    assert len(came) in (1, BRIEF.attempts)


async def test_a_refusal_without_end_is_cut_off() -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            await stream.send_all(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")

    tracemalloc.start()
    try:
        async with raw(serve) as (url, _), open_client(url, reconnect=QUICK) as client:
            with trio.fail_after(QUICK.connect_s), pytest.raises(SocketClosed):
                await anext(client)
        assert tracemalloc.get_traced_memory()[1] < 8 * 1024 * 1024
    finally:
        tracemalloc.stop()


async def test_an_address_without_a_server_is_a_failed_attempt() -> None:
    async with open_client("ws://name.invalid/ws", reconnect=BRIEF) as client:
        with trio.fail_after(60), pytest.raises(SocketClosed, match="cannot be reached: no connection can be made"):
            await anext(client)
        assert client.state.status is Status.REFUSED


# TLS


@pytest.mark.parametrize("trusted", [True, False])
async def test_a_secure_connection(trusted: bool) -> None:
    """With a certificate that is trusted it is held; with another it is not, and the state says why."""
    authority, stranger = trustme.CA(), trustme.CA()
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    (authority if trusted else stranger).issue_cert("localhost").configure_cert(server_side)
    client_side = ssl.create_default_context()
    authority.configure_trust(client_side)

    async def serve(stream: trio.SocketStream) -> None:
        from trio_websocket import ConnectionClosed, wrap_server_stream

        try:
            async with trio.open_nursery() as nursery:
                secure = trio.SSLStream(stream, server_side, server_side=True, https_compatible=True)
                request = await wrap_server_stream(nursery, secure)
                socket = await request.accept(subprotocol="understudy.v1")
                await socket.send_message(event("welcome", thread_id=None).decode())
                await socket.get_message()
                nursery.cancel_scope.cancel()
        except* (ConnectionClosed, trio.BrokenResourceError):
            pass

    async with raw(serve) as (url, _):
        url = url.replace("ws://127.0.0.1", "wss://localhost")
        async with open_client(url, reconnect=BRIEF, ssl_context=client_side) as client:
            with trio.fail_after(60):
                if trusted:
                    assert await kinds(client, 1) == ["welcome"]
                else:
                    with pytest.raises(SocketClosed, match="no secure connection to the server"):
                        await anext(client)


async def test_a_server_that_does_not_speak_tls() -> None:
    async with (
        raw(saying(b"HTTP/1.1 400 Bad\r\n\r\n")) as (url, _),
        open_client(url.replace("ws://", "wss://"), reconnect=FOR_SILENCE) as client,
    ):
        with trio.fail_after(60), pytest.raises(SocketClosed, match=r"no secure connection|in time"):
            await anext(client)


# On an open connection

GARBAGE = [
    b"{", b"5", b"[[]]", b'{"type":5}', b'{"type":"ping","seq":"1"}', b'{"type":"chunk"}',
    b'{"type":"chunk","id":"a","index":1,"count":2,"data":""}', b"[" * 100_000,
    json.dumps({"type": "chunk", "id": "a", "index": 0, "count": 1, "data": '{"type":"chunk","id":"b"}'}).encode(),
    json.dumps({"type": "chunk", "id": "a", "index": 0, "count": 1, "data": "{"}).encode(),
]  # fmt: skip


@pytest.mark.parametrize("garbage", GARBAGE, ids=range(len(GARBAGE)))
async def test_garbage_ends_the_connection(garbage: bytes) -> None:
    """The connection ends with 1002; earlier events are delivered, and the client reconnects."""
    codes: list[int | None] = []

    async def babble(socket: Socket) -> None:
        await socket.write([event("agent_thinking", 1), garbage])
        try:
            await stay(socket)
        finally:
            codes.append(socket.code)

    async def speak(socket: Socket) -> None:
        assert await hear(socket) == {"type": "resume", "payload": {"threads": {"t": 1}}}
        await stay(socket, event("agent_thinking", 2))

    async with talking(babble, speak) as (client, script):
        assert [received.seq for received in await next_events(client, 2)] == [1, 2]
    assert codes == [1002]
    assert len(script.came) == 2


async def test_a_server_of_nothing_but_garbage_is_given_up(autojump_clock: MockClock) -> None:
    how = Reconnect(first_s=1, max_s=100, attempts=6)
    async with talking(staying(b"{"), reconnect=how, chance=lambda: 1.0) as (client, script):
        with trio.fail_after(1000), pytest.raises(SocketClosed, match="does not speak this protocol"):
            await anext(client)
    assert [round(when - script.came[0]) for when in script.came] == [0, 1, 3, 7, 15, 31]


async def test_wrong_data_in_a_known_event_breaks_nothing() -> None:
    """A welcome, a resync, a drain, a refusal that cannot be read are events like others, and things go on."""
    wrong = {"threads": 5, "last_seq": "x", "reconnect_after_s": "soon", "text": 5}
    frames = [
        json.dumps({"type": kind, "thread_id": "t", "data": data}).encode()
        for kind in ("welcome", "resync", "drain", "error", "partial_result", "message_accepted")
        for data in (None, [], wrong)
    ]
    async with talking(staying(*frames, event("agent_thinking", 1))) as (client, script):
        assert (await kinds(client, len(frames) + 1))[-1] == "agent_thinking"
    assert len(script.came) == 1


async def test_chunks_that_are_never_finished_are_bounded() -> None:
    """A fifth beginning, or more than the bound in all, ends the connection; the memory is given back."""
    piece = "x" * 500_000

    async def begin(socket: Socket) -> None:
        for index in range(1000):
            part = {"type": "chunk", "id": "a", "index": index, "count": 1000, "data": piece}
            await socket.write([json.dumps(part).encode()])
        raise AssertionError("it took half a gigabyte")

    async def many(socket: Socket) -> None:
        for name in range(100):
            part = {"type": "chunk", "id": str(name), "index": 0, "count": 2, "data": "x"}
            await socket.write([json.dumps(part).encode()])
        await stay(socket)

    async with talking(begin, many, staying(event("pong", thread_id=None))) as (client, script):
        with trio.fail_after(60):
            assert (await anext(client)).type == "pong"
    assert len(script.came) == 3


async def test_a_frame_that_is_too_large_is_not_taken() -> None:
    """As text it is the end, as both sides see it; a bomb of gzip costs the connection."""
    async with talking(staying(Binary(BOMB)), staying(event("pong", thread_id=None))) as (client, script):
        assert await kinds(client, 1) == ["pong"]
    assert len(script.came) == 2
    async with talking(staying(b'{"type":"pong","data":{"nonce":"' + b"x" * MAX_FRAME_BYTES + b'"}}')) as (client, _):
        with trio.fail_after(60), pytest.raises(SocketClosed, match="1009"):
            await anext(client)


BOMB = gzip.compress(b" " * (MAX_FRAME_BYTES + 1))


async def test_a_slow_reader_holds_back_the_server_and_not_its_memory() -> None:
    """The caller takes no events: only the inbox and the socket's buffers fill."""
    sent = 0
    large = event("agent_thinking", thought="x" * 100_000)

    async def flood(socket: Socket) -> None:
        nonlocal sent
        while True:
            await socket.write([large])
            sent += len(large)

    async with talking(flood) as (client, _):
        size = -1
        with trio.fail_after(60):
            while size < sent:
                size = sent
                await trio.sleep(0.7)
        assert 1_000_000 < sent < 100_000_000
        assert await kinds(client, 3) == ["agent_thinking"] * 3
