"""The heartbeat on a socket of its own."""

from contextlib import suppress

import pytest
import trio

from tests.rigs.loopback_server import open_server, raw_socket
from transport.connection.heartbeat import Heartbeat
from transport.connection.heartbeat import beat as beat_once
from transport.server.listener import Upgrade
from transport.server.socket import Socket
from transport.wire.errors import SocketClosed

FAST = Heartbeat(interval_s=2.0, silence_s=5.0)


async def keep_alive(socket: Socket, heartbeat: Heartbeat) -> None:
    beating = True
    while beating:
        await trio.sleep(heartbeat.next_s(socket))
        beating = await beat_once(socket, heartbeat)


async def beat(upgrade: Upgrade) -> None:
    socket = await upgrade.accept()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep_alive, socket, FAST)
        try:
            await socket.receive()
        except SocketClosed:
            nursery.cancel_scope.cancel()


async def test_pings_come_at_their_interval(autojump_clock: trio.testing.MockClock) -> None:
    """A client that answers is pinged on and on."""
    async with open_server(beat) as port, raw_socket(port) as client:
        started = trio.current_time()
        for count in range(1, 6):
            assert (await client.frame()).opcode.name == "PING"
            assert trio.current_time() - started == pytest.approx(2.0 * count, abs=0.1)
            await client.flush()


async def test_the_way_there_and_back_is_measured(autojump_clock: trio.testing.MockClock) -> None:
    """The time from a ping to its pong; an unsolicited pong does not count."""
    sockets: list[Socket] = []

    async def measure(upgrade: Upgrade) -> None:
        sockets.append(await upgrade.accept())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep_alive, sockets[0], FAST)
            with suppress(SocketClosed):
                while True:
                    await sockets[0].receive()
            nursery.cancel_scope.cancel()

    async with open_server(measure) as port, raw_socket(port) as client:
        await client.stream.send_all(b"\x8a\x80\x00\x00\x00\x00")
        assert (await client.frame()).opcode.name == "PING"
        assert sockets[0].rtt_s is None
        await trio.sleep(0.5)
        await client.flush()
        assert (await client.frame()).opcode.name == "PING"
        assert sockets[0].rtt_s == pytest.approx(0.5, abs=0.01)


async def test_a_silent_client_is_closed_on_time(autojump_clock: trio.testing.MockClock) -> None:
    """Not an interval later than its silence allows."""
    async with open_server(beat) as port, raw_socket(port) as client:
        started = trio.current_time()
        while (await client.frame()).opcode.name == "PING":
            pass
        assert client.protocol.close_rcvd is not None
        assert (client.protocol.close_rcvd.code, client.protocol.close_rcvd.reason) == (4408, "idle")
        assert trio.current_time() - started == pytest.approx(5.0, abs=0.1)


async def test_any_frame_is_a_sign_of_life(autojump_clock: trio.testing.MockClock) -> None:
    async with open_server(beat) as port, raw_socket(port) as client:
        for _ in range(6):
            await trio.sleep(3.0)
            await client.stream.send_all(b"\x8a\x80\x00\x00\x00\x00")
        client.protocol.send_close(1000)
        await client.flush()
        while (await client.frame()).opcode.name == "PING":
            pass
        assert client.protocol.close_rcvd is not None
        assert client.protocol.close_rcvd.code == 1000


async def test_the_heartbeat_ends_with_the_socket(autojump_clock: trio.testing.MockClock) -> None:
    ended = trio.Event()

    async def close_early(upgrade: Upgrade) -> None:
        socket = await upgrade.accept()
        await socket.close(4000)
        await keep_alive(socket, FAST)
        ended.set()

    async with open_server(close_early) as port, raw_socket(port) as client:
        assert (await client.frame()).opcode.name == "CLOSE"
        await client.flush()
        with trio.fail_after(10):
            await ended.wait()
