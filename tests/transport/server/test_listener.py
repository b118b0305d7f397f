"""The listener and its sockets, over real connections."""

import asyncio
import errno
import logging
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial

import pytest
import trio
from trio.testing import wait_all_tasks_blocked
from websockets.asyncio.client import connect as connect_asyncio
from websockets.exceptions import ConnectionClosed
from websockets.frames import Opcode
from websockets.sync.client import connect

from tests.rigs.loopback_server import (
    UPGRADE,
    FunctionUpgradeHandler,
    RawSocket,
    echo,
    exchange,
    open_server,
    raw_socket,
    run_as_asyncio,
    status_and_body,
)
from transport.server.http import error_body
from transport.server.listener import ReserveListener, Upgrade, serve
from transport.server.socket import SocketLimits
from transport.wire.errors import SocketClosed


async def test_the_upgrade_shows_what_was_asked() -> None:
    """Path, query, headers, subprotocols and peer reach the judge; the selected subprotocol reaches the client."""
    upgrades: list[Upgrade] = []

    async def judge(upgrade: Upgrade) -> None:
        upgrades.append(upgrade)
        with pytest.raises(ValueError, match="did not offer"):
            await upgrade.accept("understudy.v9")
        await upgrade.accept("understudy.v1", {"Deprecation": "true"})

    async with (
        open_server(judge) as port,
        raw_socket(port, "/api/ws/liaison/a%2Fb?x=1&x=2&y=", Sec_WebSocket_Protocol="jwt.t, understudy.v1") as client,
    ):
        assert (await client.frame()).opcode is Opcode.CLOSE
    (upgrade,) = upgrades
    assert upgrade.path == "/api/ws/liaison/a%2Fb"
    assert upgrade.query == {"x": "1", "y": ""}
    assert upgrade.subprotocols == ("jwt.t", "understudy.v1")
    assert upgrade.headers["upgrade"] == "websocket"
    assert upgrade.peer == "127.0.0.1"


@pytest.mark.promise("owasp.slow")
async def test_a_slow_head_is_given_up(autojump_clock: trio.testing.MockClock) -> None:
    """An incomplete head gets 408 after ten seconds; a silent client is closed."""
    async with open_server() as port:
        started = trio.current_time()
        answer = await exchange(port, b"GET / HTTP/1.1\r\n")
        assert status_and_body(answer)[0] == 408
        assert trio.current_time() - started == pytest.approx(10, abs=1)
        assert await exchange(port, b"\x16\x03\x01") == b""
        async with await trio.open_tcp_stream("127.0.0.1", port) as silent:
            assert await silent.receive_some() == b""


async def test_frames_that_came_with_the_head_are_not_lost() -> None:
    text, end = b"\x81\x82\x00\x00\x00\x00hi", b"\x88\x80\x00\x00\x00\x00"
    async with open_server() as port:
        with trio.fail_after(60):
            head, _, frames = (await exchange(port, UPGRADE + text + end)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101")
    assert frames == b"\x81\x02hi\x88\x00"


async def test_the_clients_close_code_is_delivered() -> None:
    closes: list[SocketClosed] = []

    async def note(upgrade: Upgrade) -> None:
        try:
            await echo(upgrade)
        except SocketClosed as closed:
            closes.append(closed)
            raise

    def talk(port: int) -> int | None:
        with connect(f"ws://127.0.0.1:{port}/") as client:
            client.close(4001, "enough")
        return client.protocol.close_code

    async with open_server(note) as port:
        assert await trio.to_thread.run_sync(talk, port) == 4001
    assert [(closed.code, closed.reason) for closed in closes] == [(4001, "enough")]


async def test_the_servers_close_code_is_delivered() -> None:
    """A close with a reason that is too long keeps its code; the reason is cut at a character."""

    async def close(upgrade: Upgrade) -> None:
        await (await upgrade.accept()).close(4429, "ü" * 100)

    async with open_server(close) as port, raw_socket(port) as client:
        assert (await client.frame()).opcode is Opcode.CLOSE
        assert client.protocol.close_rcvd is not None
        assert (client.protocol.close_rcvd.code, client.protocol.close_rcvd.reason) == (4429, "ü" * 61)


async def test_a_socket_whose_writes_never_waited_has_no_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """There are many idle sockets: a lock takes 300 bytes. The first write that has to wait makes one."""
    locks: list[trio.Lock] = []
    lock = trio.Lock

    def make() -> trio.Lock:
        locks.append(lock())
        return locks[-1]

    monkeypatch.setattr(trio, "Lock", make)
    large = SocketLimits(message_bytes=5_000_000, bound_bytes=5_000_000)
    async with open_server(socket=large) as port, raw_socket(port) as client:
        assert await client.echoes(b"hello")
        assert locks == []
        client.protocol.send_text(b"x" * 5_000_000)
        await client.flush()
        with trio.fail_after(60):
            while not locks:  # noqa: ASYNC110 - what is under way between two sockets blocks no task
                await trio.sleep(0.01)
        assert len(locks) == 1


async def test_a_lost_connection_is_1006() -> None:
    codes: list[int] = []

    async def note(upgrade: Upgrade) -> None:
        try:
            await echo(upgrade)
        except SocketClosed as closed:
            codes.append(closed.code)

    async with open_server(note) as port:
        async with raw_socket(port):
            pass
        await wait_all_tasks_blocked()
    assert codes == [1006]


async def test_an_exception_ends_its_own_socket_only(caplog: pytest.LogCaptureFixture) -> None:
    """One judge raises, also out of a nursery: that client sees 1011, the log has an error_id, the others live on."""

    async def judge(upgrade: Upgrade) -> None:
        if upgrade.path == "/fail":
            socket = await upgrade.accept()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep_forever)
                await socket.receive()
                raise RuntimeError("a secret")
        elif upgrade.path == "/early":
            raise RuntimeError("a secret")
        await echo(upgrade)

    async with open_server(judge) as port, raw_socket(port) as other:
        async with raw_socket(port, "/fail") as client:
            client.protocol.send_text(b"now")
            await client.flush()
            await client.frame()
            assert client.protocol.close_rcvd is not None
            assert client.protocol.close_rcvd.code == 1011
            assert "secret" not in client.protocol.close_rcvd.reason
        assert status_and_body(await exchange(port, UPGRADE.replace(b"/ws", b"/early")))[0] == 500
        assert await other.echoes(b"alive")
    failures = [record for record in caplog.records if record.getMessage() == "listener.connection_failed"]
    assert len(failures) == 2
    assert all(len(record.__dict__["error_id"]) == 12 for record in failures)


async def test_a_cancelled_door_says_goodbye_to_everybody() -> None:
    """Each open socket gets 1001 and no task is left, also when one client does not answer."""
    with trio.fail_after(60):
        async with trio.open_nursery() as clients, trio.open_nursery() as nursery:
            listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
            listen = partial(serve, asgi_app=_no_app, upgrade_handler=FunctionUpgradeHandler(echo))
            await nursery.start(listen, listeners)
            port = listeners[0].socket.getsockname()[1]
            codes: list[int] = []
            for _ in range(3):
                await clients.start(_read_close, port, codes)
            nursery.cancel_scope.cancel()
    assert codes == [1001, 1001, 1001]


async def _no_app(scope: object, receive: object, send: object) -> None:
    """No application."""


async def _read_close(port: int, codes: list[int], task_status: trio.TaskStatus[None]) -> None:
    async with raw_socket(port) as client:
        task_status.started()
        codes.append(await client.close_code())
        await client.flush()


FAULTS = [
    (b"\x81\xff" + (5_000_000).to_bytes(8, "big") + b"\0\0\0\0", 1009),  # the head of five megabytes
    (b"\x81\x82\x00\x00\x00\x00\xff\xfe", 1007),
    (b"\x81\x02hi", 1002),
    (b"\x81\x84\x00\x00\x00\x00hi", 1008),  # never finished
]


@pytest.mark.parametrize(("fault", "code"), FAULTS)
async def test_a_client_at_fault_is_heard_out(fault: bytes, code: int, autojump_clock: trio.testing.MockClock) -> None:
    """As long as it goes on writing it sees neither an end nor a reset; the end comes when it falls silent."""
    ends: list[float] = []

    async def read_end(client: RawSocket) -> None:
        assert await client.stream.receive_some() == b""
        ends.append(trio.current_time())

    async with open_server() as port, raw_socket(port) as client, trio.open_nursery() as nursery:
        await client.stream.send_all(fault)
        assert await client.close_code() == code
        nursery.start_soon(read_end, client)
        for _ in range(20):
            await trio.sleep(0.2)
            await client.stream.send_all(b"x" * 100_000)
        silent = trio.current_time()
        assert ends == []
        await trio.sleep(1)
        assert ends == [pytest.approx(silent + 0.25, abs=0.1)]


async def write_on(client: RawSocket, pause_s: float) -> None:
    for _ in range(1000):
        await client.stream.send_all(b"x" * 100_000)
        await trio.sleep(pause_s)


async def test_a_client_at_fault_is_not_heard_for_ever(autojump_clock: trio.testing.MockClock) -> None:
    """After a protocol error the client keeps sending: the connection ends after `close_s`, or `discard_bytes`."""
    for pause_s, least_s, most_s in ((0.2, 4.9, 5.5), (0.0, 0.0, 1.0)):
        async with open_server(socket=SocketLimits(discard_bytes=4_000_000)) as port, raw_socket(port) as client:
            await client.stream.send_all(FAULTS[2][0])
            assert (await client.frame()).opcode is Opcode.CLOSE
            started = trio.current_time()
            with pytest.raises(trio.BrokenResourceError):
                await write_on(client, pause_s)
            assert least_s <= trio.current_time() - started <= most_s


async def test_a_client_at_fault_that_ends_the_stream_is_let_go(autojump_clock: trio.testing.MockClock) -> None:
    async with open_server() as port, raw_socket(port) as client:
        await client.stream.send_all(FAULTS[2][0])
        assert (await client.frame()).opcode is Opcode.CLOSE
        started = trio.current_time()
        await client.stream.send_eof()
        with pytest.raises(EOFError):
            await client.frame()
        assert trio.current_time() - started < 0.2


async def test_a_stock_asyncio_client_survives_its_own_large_message() -> None:
    async def talk(port: int) -> int | None:
        complaints: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        async with connect_asyncio(f"ws://127.0.0.1:{port}/") as client:
            with suppress(ConnectionClosed):
                await client.send("x" * 5_000_000)
                await client.recv()
        assert complaints == []
        return client.close_code

    async with open_server() as port:
        for _ in range(5):
            assert await run_as_asyncio(lambda: talk(port)) == 1009


async def test_after_the_close_frame_nothing_follows() -> None:
    """Pings that arrive after the server decided to close are not answered; a write raises."""
    done = trio.Event()

    async def judge(upgrade: Upgrade) -> None:
        socket = await upgrade.accept()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(socket.close, 4000, "first")
            await wait_all_tasks_blocked()
            nursery.start_soon(socket.close, 4001, "second")
            with pytest.raises(SocketClosed):
                await socket.write([b"late"])
            socket.ping()
        assert (socket.code, socket.reason, socket.open) == (4000, "first", False)
        done.set()

    async with open_server(judge) as port, raw_socket(port) as client:
        await client.stream.send_all(b"\x89\x80\x00\x00\x00\x00")
        assert (await client.frame()).opcode is Opcode.CLOSE
        await client.stream.send_all(b"\x89\x80\x00\x00\x00\x00")
        await client.flush()
        with pytest.raises(EOFError):
            await client.frame()
        with trio.fail_after(60):
            await done.wait()


async def test_data_that_came_before_our_close_is_not_read_after_it() -> None:
    """A message that waits unread when we close is dropped: `receive` raises, in whatever order things came."""
    done = trio.Event()

    async def judge(upgrade: Upgrade) -> None:
        socket = await upgrade.accept()
        assert await socket.receive() == "one"
        await socket.close(4000)
        with pytest.raises(SocketClosed) as closed:
            await socket.receive()
        assert closed.value.code == 4000
        done.set()

    async with open_server(judge) as port, raw_socket(port) as client:
        client.protocol.send_text(b"one")
        client.protocol.send_text(b"two")
        await client.flush()
        assert (await client.frame()).opcode is Opcode.CLOSE
        await client.flush()
        with trio.fail_after(60):
            await done.wait()


async def test_a_burst_of_messages_leaves_turns_to_others() -> None:
    """Messages that came in one read are received one a turn of the scheduler, also when each is answered."""
    turns: list[int] = []

    async def judge(upgrade: Upgrade) -> None:
        socket = await upgrade.accept()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_count_turns, turns)
            await socket.receive()
            count = len(turns)
            for _ in range(99):
                await socket.write([str(await socket.receive()).encode()])
            turns[:] = [len(turns) - count]
            nursery.cancel_scope.cancel()

    async with open_server(judge) as port, raw_socket(port) as client:
        for _ in range(100):
            client.protocol.send_text(b"x")
        await client.flush()
        for _ in range(99):
            await client.frame()
    assert turns[0] >= 98


async def _count_turns(turns: list[int]) -> None:
    while True:
        await trio.lowlevel.checkpoint()
        turns.append(1)


async def test_payloads_written_together_leave_together() -> None:
    async def judge(upgrade: Upgrade) -> None:
        await (await upgrade.accept()).write([b"%03d" % number for number in range(100)])
        await trio.sleep_forever()

    async with open_server(judge) as port, raw_socket(port) as client:
        await wait_all_tasks_blocked()
        data = await client.stream.receive_some(65536)
        assert data == b"".join(b"\x81\x03%03d" % number for number in range(100))


@pytest.mark.promise("wire.bad-not-reading")
async def test_a_client_that_does_not_read_is_closed_with_1013(autojump_clock: trio.testing.MockClock) -> None:
    """Its write ends after twenty seconds, others go on meanwhile, and when it reads at last it finds whole frames."""
    ended: list[int | None] = []

    async def judge(upgrade: Upgrade) -> None:
        if upgrade.path == "/other":
            await echo(upgrade)
        socket = await upgrade.accept()
        with suppress(SocketClosed):
            while True:
                await socket.write([b"x" * 50_000])
        ended.append(socket.code)

    async with open_server(judge) as port:
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, 4096)
        async with stream:
            client = RawSocket(stream)
            await client.handshake()
            async with raw_socket(port, "/other") as other:
                for number in range(4):
                    await trio.sleep(5.5)
                    assert await other.echoes(b"%d" % number)
            assert ended == [1013]
            while (frame := await client.frame()).opcode is Opcode.TEXT:
                assert frame.data == b"x" * 50_000
            assert client.protocol.close_rcvd is not None
            assert client.protocol.close_rcvd.code == 1013


async def test_a_reader_whose_client_takes_no_pong_ends_with_1013(autojump_clock: trio.testing.MockClock) -> None:
    """The second one too: trio keeps a wait for a closed socket, and refuses the next such wait."""
    ended: list[int] = []

    async def judge(upgrade: Upgrade) -> None:
        socket = await upgrade.accept()
        assert not socket.write_now([b"x" * 5_000_000])
        with pytest.raises(SocketClosed) as closed:
            await socket.receive()
        ended.append(closed.value.code)

    async with open_server(judge) as port:
        for _ in range(2):
            async with raw_socket(port):
                await trio.sleep(25.0)
    assert ended == [1013, 1013]


async def test_a_cancelled_write_never_leaves_half_a_frame() -> None:
    """A write cancelled in the middle of a frame is finished by the next thing that is sent: here the close frame."""

    async def judge(upgrade: Upgrade) -> None:
        socket = await upgrade.accept()
        with trio.move_on_after(0.05):
            while True:
                await socket.write([b"y" * 300_000])
        await socket.close(4002)

    async with open_server(judge) as port, raw_socket(port) as client:
        await trio.testing.wait_all_tasks_blocked(0.1)
        while (frame := await client.frame()).opcode is Opcode.TEXT:
            assert frame.data == b"y" * 300_000
        assert client.protocol.close_rcvd is not None
        assert client.protocol.close_rcvd.code == 4002


@pytest.mark.promise("wire.limit-connections-total", "owasp.connections")
async def test_connections_are_counted() -> None:
    async with open_server(connections=1) as port:
        async with raw_socket(port):
            status, body = status_and_body(await exchange(port, b"GET / HTTP/1.1\r\n\r\n"))
            assert (status, body["error"]["code"], body["error"]["retryable"]) == (503, "busy", True)
        await wait_all_tasks_blocked()
        async with raw_socket(port):
            pass


async def test_an_upgrade_nobody_answers_is_an_error(caplog: pytest.LogCaptureFixture) -> None:
    """A judge that returns without an answer leaves the client with 500, and two answers are a mistake."""

    async def judge(upgrade: Upgrade) -> None:
        if upgrade.path == "/twice":
            await upgrade.refuse(404, error_body("not_found"))
            await upgrade.accept()

    async with open_server(judge) as port:
        assert status_and_body(await exchange(port, UPGRADE))[0] == 500
        assert status_and_body(await exchange(port, UPGRADE.replace(b"/ws", b"/twice")))[0] == 404
        await wait_all_tasks_blocked()
    errors = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert errors == ["listener.connection_failed"]


@contextmanager
def no_descriptors_left() -> Iterator[None]:
    """Take all descriptors that the process may still open, for the time of the block."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    descriptors: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(512, limits[0]), limits[1]))
    try:
        with suppress(OSError):
            while True:
                descriptors.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


async def test_a_client_that_comes_when_descriptors_are_free_again_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """The listener, which waits for a connection to close by its reserved descriptor, does not close that one."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    accept, refusals = listener.accept, iter([OSError(errno.EMFILE, "Too many open files")])

    async def accept_later() -> trio.SocketStream:
        for refusal in refusals:
            raise refusal
        return await accept()

    monkeypatch.setattr(listener, "accept", accept_later)
    reserved = ReserveListener(listener)
    with trio.fail_after(60):
        client = await trio.open_tcp_stream("127.0.0.1", listener.socket.getsockname()[1])
        async with client, await reserved.accept() as served:
            await served.send_all(b"hello")
            assert await client.receive_some(5) == b"hello"
        await reserved.aclose()


@pytest.mark.promise("owasp.connections")
async def test_without_descriptors_clients_are_closed_and_later_ones_served(caplog: pytest.LogCaptureFixture) -> None:
    """Open connections go on, new ones are closed with one log line; with free descriptors clients are served again."""
    async with open_server() as port, raw_socket(port) as early:
        waiting = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
        steps = 0
        with no_descriptors_left():
            for client in waiting:
                client.setblocking(False)
                with trio.fail_after(60):
                    while True:
                        steps += 1
                        with suppress(BlockingIOError, ConnectionResetError):
                            assert client.recv(1) == b""
                            break
                        await trio.sleep(0.01)
            assert steps < 100
            assert await early.echoes(b"still here")
        for client in waiting:
            client.close()
        with trio.fail_after(60):
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                await stream.send_all(UPGRADE)
                assert (await stream.receive_some()).startswith(b"HTTP/1.1 101")
    warnings = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [record.getMessage() for record in warnings] == ["listener.no_descriptors"]
