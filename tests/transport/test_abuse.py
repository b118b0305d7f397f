"""Clients that mean harm, or are broken: each gets its answer, in bounded memory, and no other client notices."""

import gc
import socket
import time
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
import trio

from tests.rigs.echo_server import EchoUpgrades
from tests.rigs.loopback_server import UPGRADE, exchange, open_server, status_and_body
from tests.rigs.raw_websocket import CLOSE, CONT, PING, PONG, TEXT, RawWebSocket, close, frame, raw_websocket
from transport.server.listener import Upgrade
from transport.server.socket import SocketLimits
from transport.wire.errors import CommandRejected

MIB = 1024 * 1024


@asynccontextmanager
async def beside_another(port: int) -> AsyncIterator[None]:
    """Another client's messages come back all the while, each within half a second of this thread's CPU time."""

    async def talk(task_status: trio.TaskStatus[None]) -> None:
        async with raw_websocket(port) as other:
            task_status.started()
            while True:
                began = time.thread_time()
                await other.send(frame(TEXT, b"still here?"))
                with trio.fail_after(60):
                    assert (await other.frame()).payload == b"still here?"
                assert time.thread_time() - began < 0.5
                await trio.sleep(0.005)

    async with trio.open_nursery() as nursery:
        await nursery.start(talk)
        yield
        nursery.cancel_scope.cancel()


async def codes(client: RawWebSocket) -> list[int | None]:
    return [frame.code for frame in await client.frames_to_the_end() if frame.opcode == CLOSE]


@pytest.mark.promise("wire.bad-pings")
async def test_ten_thousand_pings_are_answered() -> None:
    """Each, in order, in far fewer packets than pings; a message behind them comes back behind the pongs."""
    script = b"".join(frame(PING, b"%d" % number) for number in range(10_000)) + frame(TEXT, b"end")
    async with (
        open_server(EchoUpgrades().handle_upgrade) as port,
        beside_another(port),
        raw_websocket(port) as client,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(client.send, script)
        with trio.fail_after(60):
            for number in range(10_000):
                pong = await client.frame()
                assert (pong.opcode, pong.payload) == (PONG, b"%d" % number)
            assert (await client.frame()).payload == b"end"


@pytest.mark.promise("wire.bad-pings", "owasp.backpressure")
async def test_pings_of_a_client_that_does_not_read(autojump_clock: trio.testing.MockClock) -> None:
    limits = SocketLimits(send_buffer_bytes=4096)
    async with open_server(EchoUpgrades().handle_upgrade, socket=limits) as port, raw_websocket(port) as client:
        client.stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, 4096)  # type: ignore[attr-defined]
        flood = frame(PING, b"x" * 125) * 1000
        tracemalloc.start()
        try:
            with trio.move_on_after(15), suppress(trio.BrokenResourceError):
                while True:
                    await client.stream.send_all(flood)
            bytes_held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert bytes_held < MIB
        await trio.sleep(10)
        with trio.fail_after(60), pytest.raises(trio.BrokenResourceError):  # noqa: PT012 - how many sends: the kernel
            while True:
                await client.stream.send_all(flood)


@pytest.mark.promise("wire.bad-frame-oversized")
@pytest.mark.parametrize("payload", [b"", b"x"])
async def test_a_flood_of_tiny_fragments(payload: bytes) -> None:
    """Other clients are served meanwhile; the message is refused as too large, or the socket closed with 1008."""
    rejected: list[str] = []

    async def judge(upgrade: Upgrade) -> None:
        socket = await upgrade.accept()
        while True:
            try:
                message = await socket.receive()
                await socket.write([message.encode() if isinstance(message, str) else message])
            except CommandRejected as error:
                rejected.append(error.code)

    limits = SocketLimits(message_bytes=10_000, bound_bytes=100_000, message_s=1.0)
    async with open_server(judge, socket=limits) as port, beside_another(port), raw_websocket(port) as client:
        await client.send(frame(TEXT, b"", fin=False) + frame(CONT, payload, fin=False) * 20_000)
        await client.send(frame(CONT) + frame(TEXT, b"next"))
        first = await client.frame()
        assert first.payload == (b"next" if payload else b"")
        assert rejected == (["message_too_large"] if payload else [])
        endless = frame(CONT, b"", fin=False) * 1000
        with suppress(trio.BrokenResourceError), trio.move_on_after(3):
            await client.send(frame(TEXT, b"", fin=False))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_write_on, client, endless)
                while (received := await client.frame()).opcode != CLOSE:
                    pass
                assert received.code == 1008
                nursery.cancel_scope.cancel()


async def _write_on(client: RawWebSocket, data: bytes) -> None:
    while True:
        await client.send(data)


@pytest.mark.promise("wire.bad-frame-half")
@pytest.mark.parametrize(
    "begun",
    [frame(TEXT, b"hello")[:6], frame(TEXT, b"hello")[:8], frame(TEXT, b"hi", fin=False)],
    ids=["head", "payload", "fragment"],  # masks are random
)
async def test_a_message_must_be_finished_in_time(begun: bytes, autojump_clock: trio.testing.MockClock) -> None:
    """After the head and mask of a frame, to the byte, within its payload, or between fragments: 1008 after 30 s."""
    async with open_server(EchoUpgrades().handle_upgrade) as port, raw_websocket(port) as client:
        started = trio.current_time()
        await client.send(begun)
        with trio.fail_after(60):
            assert await codes(client) == [1008]
        assert trio.current_time() - started == pytest.approx(30, abs=1)


@pytest.mark.promise("wire.bad-frame-half", "owasp.slow")
async def test_dribbling_does_not_buy_time(autojump_clock: trio.testing.MockClock) -> None:
    """A byte now and then does not make a frame last longer than thirty seconds, nor a head than ten."""

    async def dribble(stream: trio.abc.SendStream, data: bytes) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            for at in range(len(data)):
                await stream.send_all(data[at : at + 1])
                await trio.sleep(0.9)

    async with open_server(EchoUpgrades().handle_upgrade) as port, trio.open_nursery() as nursery:
        async with raw_websocket(port) as client:
            started = trio.current_time()
            nursery.start_soon(dribble, client.stream, frame(TEXT, b"x" * 100))
            with trio.fail_after(60):
                assert await codes(client) == [1008]
            assert trio.current_time() - started == pytest.approx(30, abs=1.5)
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            started = trio.current_time()
            nursery.start_soon(dribble, stream, UPGRADE)
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 408")
            assert trio.current_time() - started == pytest.approx(10, abs=1.5)
        nursery.cancel_scope.cancel()


async def test_messages_before_a_fault_are_answered() -> None:
    """Messages in the same packet as a fault come back before the close frame, however many; those behind it do not."""
    many = b"".join(frame(TEXT, b"%d" % number) for number in range(200))
    async with open_server(EchoUpgrades().handle_upgrade) as port, raw_websocket(port) as client:
        await client.send(many + frame(3) + many)
        frames = await client.frames_to_the_end()
    assert [received.payload for received in frames[:-1]] == [b"%d" % number for number in range(200)]
    assert frames[-1].code == 1002


@pytest.mark.promise("wire.bad-frame-left")
async def test_a_client_leaves_in_the_middle_of_anything() -> None:
    script = UPGRADE + frame(TEXT, b"one", fin=False) + frame(PING, b"p") + frame(CONT, b"two") + close()
    async with open_server(EchoUpgrades().handle_upgrade, connections=2) as port, beside_another(port):
        for size in range(0, len(script), 7):
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                await stream.send_all(script[:size])
                if size % 2:
                    linger = (1).to_bytes(4, "little") + (0).to_bytes(4, "little")
                    stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, linger)
            await trio.testing.wait_all_tasks_blocked()
            async with raw_websocket(port) as client:
                await client.send(frame(TEXT, b"is there room?"))
                assert (await client.frame()).payload == b"is there room?"
            await trio.testing.wait_all_tasks_blocked()


HEADS = [
    (UPGRADE.replace(b"Version: 13", b"Version: 12"), 400),
    (UPGRADE.replace(b"Sec-WebSocket-Version: 13\r\n", b""), 400),
    (UPGRADE.replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"dGhlIHNhbXBsZQ=="), 400),
    (UPGRADE.replace(b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", b""), 400),
    (UPGRADE.replace(b"Host: here\r\n", b""), 400),
    (UPGRADE.replace(b"Host: here\r\n", b"Host: here\r\nHost: there\r\n"), 400),
    (UPGRADE.replace(b"Host: here", b"Host here"), 400),
    (UPGRADE.replace(b"HTTP/1.1", b"HTTP/1.0"), 505),
    (UPGRADE.replace(b"Connection: Upgrade", b"Connection: close"), 426),
    (UPGRADE.replace(b"GET", b"DELETE"), 405),
    (UPGRADE.replace(b"GET", b"BREW"), 501),
    (UPGRADE.replace(b"Host: here", b"Content-Length: 3\r\nTransfer-Encoding: chunked"), 400),
    (UPGRADE.replace(b"Host: here", b"X: " + b"x" * 20_000), 431),
    (UPGRADE.replace(b"Host: here", b"\r\n".join(b"X-%d: y" % number for number in range(400))), 400),
    (b"GET / HTTP/1.1\r\nX: " + b"x" * 17_000, 431),
]


@pytest.mark.promise("wire.bad-handshake", "owasp.version")
@pytest.mark.parametrize(("head", "status"), HEADS, ids=range(len(HEADS)))
async def test_a_handshake_that_is_none(head: bytes, status: int) -> None:
    async with open_server(EchoUpgrades().handle_upgrade) as port, beside_another(port):
        with trio.fail_after(60):
            answer = await exchange(port, head)
    assert status_and_body(answer)[0] == status
    code = "message_too_large" if status == 431 else "invalid_command"
    assert status_and_body(answer)[1]["error"]["code"] == code
    assert answer.count(b"HTTP/1.1 ") == 1
    assert (b"\r\nAllow: GET\r\n" in answer) == (status == 405)


async def test_a_handshake_may_have_one_long_line() -> None:
    """As much as any other head: cookies of the parent domain have nine kilobytes, with which the page loads."""
    head = UPGRADE.replace(b"Host: here", b"Host: here\r\nCookie: a=" + b"x" * 15_000)
    async with (
        open_server(EchoUpgrades().handle_upgrade) as port,
        await trio.open_tcp_stream("127.0.0.1", port) as stream,
    ):
        await stream.send_all(head)
        with trio.fail_after(60):
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 101 ")


@pytest.mark.promise("wire.bad-handshake", "owasp.version")
async def test_a_client_of_another_version_is_told_which_one_is_spoken() -> None:
    """RFC 6455 section 4.4."""
    async with open_server(EchoUpgrades().handle_upgrade) as port:
        answer = await exchange(port, UPGRADE.replace(b"Version: 13", b"Version: 99"))
    assert b"\r\nSec-WebSocket-Version: 13\r\n" in answer


COMPRESSED = SocketLimits(compression_from_bytes=1024)
OFFER = ["permessage-deflate"]


def bomb(mebibytes: int) -> bytes:
    squeeze = zlib.compressobj(9, wbits=-15)
    return b"".join(squeeze.compress(bytes(MIB)) for _ in range(mebibytes)) + squeeze.flush(zlib.Z_SYNC_FLUSH)


@pytest.mark.promise("wire.bad-compression")
@pytest.mark.parametrize("whole", [True, False])
async def test_a_bomb_is_inflated_to_the_bound_and_no_further(whole: bool) -> None:
    """1009, at a peak of a few megabytes for two hundred, in one frame or as one of many fragments."""
    data = await trio.to_thread.run_sync(bomb, 200)
    script = frame(TEXT, data, rsv=4) if whole else frame(TEXT, b"", fin=False, rsv=4) + frame(CONT, data, fin=False)
    assert len(data) < MIB
    async with (
        open_server(EchoUpgrades().handle_upgrade, socket=COMPRESSED) as port,
        beside_another(port),
        raw_websocket(port, offers=OFFER) as client,
    ):
        assert "permessage-deflate" in client.extensions
        tracemalloc.start()
        try:
            await client.send(script)
            assert await codes(client) == [1009]
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 8 * MIB


async def test_the_size_of_what_is_inflated_counts() -> None:
    refused: list[str] = []

    async def judge(upgrade: Upgrade) -> None:
        socket = await upgrade.accept()
        while True:
            try:
                message = await socket.receive()
                await socket.write([str(message).encode()])
            except CommandRejected as error:
                refused.append(error.code)

    def squeezed(size: int) -> bytes:
        squeeze = zlib.compressobj(wbits=-15)
        small = squeeze.compress(b"x" * size) + squeeze.flush(zlib.Z_SYNC_FLUSH)
        return frame(TEXT, small.removesuffix(b"\x00\x00\xff\xff"), rsv=4)

    async with open_server(judge, socket=COMPRESSED) as port, raw_websocket(port, offers=OFFER) as client:
        await client.send(squeezed(300_000) + squeezed(1000) + squeezed(2000))
        answers = [await client.frame() for _ in range(2)]
    assert refused == ["message_too_large"]
    assert [(answer.rsv, len(answer.payload) < 100) for answer in answers] == [(0, False), (4, True)]


@pytest.mark.parametrize(
    ("offers", "agreed"),
    [
        (["permessage-deflate; server_max_window_bits=8"], None),
        (['permessage-deflate; server_max_window_bits="8"; client_max_window_bits'], None),
        (["permessage-deflate; server_max_window_bits=8, permessage-deflate"], 15),
        (["permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=9"], 9),
        (["permessage-deflate; server_max_window_bits=9; client_max_window_bits=8"], 9),
        (["permessage-deflate; client_max_window_bits=8"], 15),
    ],
)
async def test_a_window_that_cannot_be_compressed_with_is_declined(offers: list[str], agreed: int | None) -> None:
    """Only of the server: a client's window of 8 bits can be read. A message comes back whatever was agreed to."""
    text = b"abcdefgh" * 250
    async with (
        open_server(EchoUpgrades().handle_upgrade, socket=COMPRESSED) as port,
        raw_websocket(port, offers=offers) as client,
    ):
        assert ("permessage-deflate" in client.extensions) == (agreed is not None)
        await client.send(frame(TEXT, text))
        answer = await client.frame()
    assert answer.opcode == TEXT
    assert (answer.rsv == 4) == (agreed is not None)
    payload = answer.payload if agreed is None else zlib.decompressobj(-agreed).decompress(answer.payload)
    assert payload == text


def _crowd(port: int, size: int) -> list[socket.socket]:
    crowd = []
    for _ in range(size):
        client = socket.create_connection(("127.0.0.1", port))
        client.sendall(UPGRADE + frame(TEXT, b"hello"))
        received = b""
        while not received.endswith(b"hello"):
            received += client.recv(4096)
        crowd.append(client)
    return crowd


@pytest.mark.proof("timing")
async def test_an_idle_connection_costs_little() -> None:
    """Under ten kilobytes of this process, its task included; the figure is 8. The least of three crowds counts."""
    async with open_server(EchoUpgrades().handle_upgrade) as port:
        crowd = await trio.to_thread.run_sync(_crowd, port, 20)
        costs = []
        try:
            for _ in range(3):
                tracemalloc.start()
                try:
                    more = await trio.to_thread.run_sync(_crowd, port, 100)
                    gc.collect()  # garbage of the tests before is none of theirs
                    bytes_held, _ = tracemalloc.get_traced_memory()
                finally:
                    tracemalloc.stop()
                crowd += more
                costs.append(bytes_held / len(more))
        finally:
            for client in crowd:
                client.close()
        assert min(costs) < 10_000, costs
