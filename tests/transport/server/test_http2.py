"""HTTP/2 over TLS: requests side by side, and what a client may not do."""

import json
import logging
import random
import ssl
from collections.abc import Callable
from functools import partial
from typing import Any

import h2.settings
import pytest
import trio
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, PingAckReceived

from tests.transport.http2_client import Answer, Http2Client, http2_client
from tests.transport.server.test_eventstream import a_stream, body_of, end_of
from tests.transport.server.test_http2_frames import CHEAP, CONTINUATION, HEADERS, frame
from tests.transport.servers import FunctionUpgradeHandler, echo, open_server
from transport.server.eventstream import encode_block
from transport.server.http import HttpConfig
from transport.server.http2 import ENCODER_TABLE, MAX_STREAMS, PROGRESS, WINDOW
from transport.server.http2_frames import BURST
from transport.server.listener import ServerLimits, serve
from transport.wire.errors import SocketClosed

KEEP_ALIVE_S = HttpConfig().keep_alive_s
WRITE_S = HttpConfig().write_s


class App:
    """An ASGI application with an address for each behaviour; `most` requests ran at once, `left` saw a disconnect."""

    def __init__(self) -> None:
        self.running = 0
        self.most = 0
        self.left = 0
        self.received = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await getattr(self, scope["path"].strip("/") or "mirror")(scope, receive, send)
        finally:
            self.running -= 1

    async def mirror(self, scope: Any, receive: Any, send: Any) -> None:
        """Tell what the request was."""
        size, more = 0, True
        while more:
            message = await receive()
            size += len(message.get("body", b""))
            more = message.get("more_body", False)
        fields = {name.decode(): value.decode() for name, value in scope["headers"]}
        told = {key: scope[key] for key in ("method", "scheme", "http_version")} | {"size": size, "fields": fields}
        await answer(send, json.dumps(told).encode())

    async def large(self, scope: Any, receive: Any, send: Any) -> None:
        """Send a megabyte."""
        await answer(send, b"x" * 1_000_000)

    async def deaf(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer without reading."""
        await answer(send, b"no")

    async def slow(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer after three seconds."""
        await trio.sleep(3)
        await answer(send, b"done")

    async def silent(self, scope: Any, receive: Any, send: Any) -> None:
        """Never answer; return when the client has left."""
        while (message := await receive())["type"] != "http.disconnect":
            self.received += len(message["body"])
        self.left += 1

    async def numb(self, scope: Any, receive: Any, send: Any) -> None:
        """Neither answer nor read, and see no disconnect, for ten seconds."""
        await trio.sleep(10)

    async def broken(self, scope: Any, receive: Any, send: Any) -> None:
        """Raise before the answer."""
        raise RuntimeError("no")

    async def half(self, scope: Any, receive: Any, send: Any) -> None:
        """Raise within the answer."""
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise RuntimeError("no")


async def answer(send: Any, body: bytes) -> None:
    """Send a whole response, with a field that HTTP/2 does not have."""
    fields = [(b"content-length", b"%d" % len(body)), (b"Connection", b"close")]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": body})


async def test_requests_run_side_by_side(server: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    """A fast request is answered before a slow one that came first; the application sees what HTTP/1.1 would tell."""
    async with open_server(tls=server, app=App()) as port, http2_client(port, trusting) as client:
        with trio.fail_after(60):
            silent = client.request("/silent")
            posted = client.request("/", "POST", ("cookie", "a=1"), ("cookie", "b=2"), end=False)
            client.h2.send_data(posted, b"x" * 10_000, end_stream=True)
            await client.flush()
            told = json.loads((await client.answer(posted)).body)
            head = client.request("/large", "HEAD")
            await client.flush()
            headed = await client.answer(head)
        assert (told["method"], told["scheme"], told["http_version"], told["size"]) == ("POST", "https", "2", 10_000)
        assert told["fields"] == {"host": "localhost", "cookie": "a=1; b=2"}
        assert (headed.status, headed.headers["content-length"], headed.body) == (200, "1000000", b"")
        assert "connection" not in headed.headers
        assert not client.answers[silent].headers


async def test_websockets_are_not_offered(server: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    """The settings do not allow RFC 8441, so browsers open a connection of their own for a WebSocket."""
    async with open_server(tls=server, app=App()) as port, http2_client(port, trusting) as client:
        await client.get()
        assert client.h2.remote_settings.enable_connect_protocol == 0
        assert client.h2.remote_settings.max_concurrent_streams == MAX_STREAMS


@pytest.mark.parametrize(
    ("method", "path", "fields", "status"),
    [
        ("BREW", "/", (), 501),
        ("get", "/", (), 501),
        ("GET", "relative", (), 400),
        ("GET", "/\N{SNOWMAN}", (), 400),
        ("GET", "/", (("long", "x" * 16_500),), 431),
    ],
)
async def test_requests_are_refused_one_by_one(
    server: ssl.SSLContext,
    trusting: ssl.SSLContext,
    method: str,
    path: str,
    fields: tuple[tuple[str, str], ...],
    status: int,
) -> None:
    """With the status and the security headers that HTTP/1.1 has; the connection lives on."""
    async with open_server(tls=server, app=App()) as port, http2_client(port, trusting) as client:
        refused = client.request(path, method, *fields)
        await client.flush()
        assert (await client.answer(refused)).status == status
        assert "strict-transport-security" in client.answers[refused].headers
        assert (await client.get()).status == 200


async def test_a_tunnel_is_refused(server: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    """501 for a CONNECT, and for the one of a WebSocket in HTTP/2, which was not offered."""
    websocket = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "https"), (":path", "/ws")]
    async with open_server(tls=server, app=App()) as port, http2_client(port, trusting) as client:
        with trio.fail_after(60):
            client.h2.config.validate_outbound_headers = False
            for head in (websocket, [(":method", "CONNECT")]):
                stream_id = client.h2.get_next_available_stream_id()
                client.h2.send_headers(stream_id, [*head, (":authority", "localhost:1")])
                client.answers[stream_id] = Answer()
                await client.flush()
                await client.answer(stream_id)
        assert [answer.status for answer in client.answers.values()] == [501, 501]


async def test_an_unread_body_holds_up_nothing(server: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    """A client may send WINDOW bytes ahead of an application that does not read, and other requests are answered."""
    async with open_server(tls=server, app=App(), grace_s=0.1) as port, http2_client(port, trusting) as client:
        await client.get()
        numb = client.request("/numb", "POST", end=False)
        sent = 0
        while (room := client.h2.local_flow_control_window(numb)) > 0:
            client.h2.send_data(numb, b"x" * min(room, 16_384))
            sent += min(room, 16_384)
            await client.flush()
        with trio.fail_after(60):
            assert (await client.get()).status == 200
        assert sent == WINDOW
        assert client.h2.local_flow_control_window(numb) == 0


async def test_a_large_body_is_read_as_the_application_takes_it(
    server: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    """Ten times the window arrives; so does one of which the padding counts."""
    async with open_server(tls=server, app=App()) as port, http2_client(port, trusting) as client:
        with trio.fail_after(60):
            for padding in (None, 255):
                posted = client.request("/", "POST", end=False)
                left = 10 * WINDOW
                while left:
                    room = client.h2.local_flow_control_window(posted) - 256
                    if room <= 0:
                        await client.read()
                        continue
                    size = min(room, left, 16_000)
                    client.h2.send_data(posted, b"x" * size, end_stream=size == left, pad_length=padding)
                    left -= size
                    await client.flush()
                assert json.loads((await client.answer(posted)).body)["size"] == 10 * WINDOW


async def test_an_answer_before_the_end_of_the_request_ends_it(
    server: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    """The client is told to send no more; what is under way is discarded, and gives its window back."""
    async with open_server(tls=server, app=App()) as port, http2_client(port, trusting) as client:
        await client.get()
        for _ in range(2 * WINDOW // 65_536):
            posted = client.request("/deaf", "POST", end=False)
            for _ in range(4):
                client.h2.send_data(posted, b"x" * 16_384)
            await client.flush()
            answered = await client.answer(posted)
            await client.read_until(lambda answered=answered: answered.reset is not None)  # type: ignore[misc]
            assert (answered.status, answered.body, answered.ended) == (200, b"no", True)
            assert answered.reset == ErrorCodes.NO_ERROR
        assert (await client.get()).status == 200


async def test_the_application_s_faults_cost_one_stream(
    server: ssl.SSLContext, trusting: ssl.SSLContext, caplog: pytest.LogCaptureFixture
) -> None:
    """500 before the answer, a reset within it; the connection lives on."""
    async with open_server(tls=server, app=App()) as port, http2_client(port, trusting) as client:
        assert (await client.get("/broken")).status == 500
        half = await client.get("/half")
        assert (half.status, half.ended, half.reset) == (200, False, ErrorCodes.INTERNAL_ERROR)
        assert (await client.get()).status == 200
    assert [record.levelname for record in caplog.records if "ASGI" in record.getMessage()] == ["ERROR"] * 2


async def test_a_reset_ends_the_request_and_then_the_connection(
    server: ssl.SSLContext, trusting: ssl.SSLContext, autojump_clock: trio.testing.MockClock
) -> None:
    """The application sees that its client is gone; a connection with nothing but reset streams is idle."""
    app = App()
    async with open_server(tls=server, app=app) as port, http2_client(port, trusting) as client:
        stream_id = client.request("/silent")
        await client.flush()
        await trio.sleep(1)
        client.h2.reset_stream(stream_id)
        await client.flush()
        started = trio.current_time()
        await client.read_until(lambda: False)
        assert trio.current_time() - started == pytest.approx(KEEP_ALIVE_S, abs=1)
        assert (app.left, client.goaway) == (1, ErrorCodes.NO_ERROR)


async def test_an_idle_connection_is_closed(
    server: ssl.SSLContext, trusting: ssl.SSLContext, autojump_clock: trio.testing.MockClock
) -> None:
    """With a GOAWAY: one without a request, and one after a request, whatever pings it sends."""
    async with open_server(tls=server, app=App()) as port:
        for requests in (0, 1):
            async with http2_client(port, trusting) as client, trio.open_nursery() as nursery:
                for _ in range(requests):
                    await client.get()
                nursery.start_soon(ping_for_ever, client)
                started = trio.current_time()
                await client.read_until(lambda: False)
                nursery.cancel_scope.cancel()
                assert trio.current_time() - started == pytest.approx(KEEP_ALIVE_S, abs=1)
                assert client.goaway == ErrorCodes.NO_ERROR
                assert client.seen(PingAckReceived)


async def ping_for_ever(client: Http2Client) -> None:
    """Send a ping each second."""
    while not client.ended:
        client.h2.ping(b"12345678")
        await client.flush()
        await trio.sleep(1)


async def test_a_header_block_must_end(
    server: ssl.SSLContext, trusting: ssl.SSLContext, autojump_clock: trio.testing.MockClock
) -> None:
    """Also while another request runs: a block that is dribbled is given up, and a running request is not."""
    async with open_server(tls=server, app=App()) as port, http2_client(port, trusting) as client:
        client.request("/silent")
        await client.flush()
        await trio.sleep(60)
        with trio.move_on_after(0.5):
            await client.read_until(lambda: False)
        assert not client.ended
        await client.stream.send_all(frame(HEADERS, b"\x82", 1, 3))
        started = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(dribble, client)
            await client.read_until(lambda: False)
            nursery.cancel_scope.cancel()
        assert trio.current_time() - started == pytest.approx(KEEP_ALIVE_S, abs=1.5)


async def dribble(client: Http2Client) -> None:
    """Send a piece of a header block each second."""
    while not client.ended:
        await trio.sleep(1)
        try:
            await client.stream.send_all(frame(CONTINUATION, b"\x84", 0, 3))
        except trio.BrokenResourceError:
            return


async def test_rapid_resets_end_the_connection(
    server: ssl.SSLContext, trusting: ssl.SSLContext, caplog: pytest.LogCaptureFixture
) -> None:
    """CVE-2023-44487: ENHANCE_YOUR_CALM, one line in the log, few requests begun, and others are served meanwhile."""
    app = App()
    async with open_server(tls=server, app=app, grace_s=0.1) as port:
        async with http2_client(port, trusting) as client, http2_client(port, trusting) as other:
            client.greedy = False
            for _ in range(3 * BURST):
                client.h2.reset_stream(client.request("/numb"))
            with trio.fail_after(60):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(client.flush)
                    nursery.start_soon(other.get)
                    await client.read_until(lambda: False)
            assert client.goaway == ErrorCodes.ENHANCE_YOUR_CALM
            assert (await other.get()).status == 200
        assert 0 < app.most <= MAX_STREAMS + 1
    (line,) = [record for record in caplog.records if record.getMessage() == "http2.refused"]
    assert line.__dict__["code"] == "enhance_your_calm"


async def test_tasks_of_reset_streams_count(
    server: ssl.SSLContext, trusting: ssl.SSLContext, autojump_clock: trio.testing.MockClock
) -> None:
    """As many as may run are taken; a further one is refused until they have ended, also if their streams are reset."""
    app = App()
    async with open_server(tls=server, app=app) as port, http2_client(port, trusting) as client:
        for _ in range(MAX_STREAMS):
            client.h2.reset_stream(client.request("/numb"))
        refused = await client.get()
        assert refused.reset == ErrorCodes.REFUSED_STREAM
        assert app.running == MAX_STREAMS
        silent = client.request("/slow")
        await client.flush()
        assert (await client.answer(silent)).reset == ErrorCodes.REFUSED_STREAM


async def test_streams_beyond_the_limit_end_the_connection(server: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    """A client that has not waited for the settings may open 100 streams (RFC 9113 section 6.5.2)."""
    app = App()
    async with open_server(tls=server, app=app) as port, http2_client(port, trusting) as client:
        for _ in range(MAX_STREAMS + 1):
            client.request("/silent")
        with trio.fail_after(60):
            await client.flush()
            await client.read_until(lambda: False)
        assert client.goaway not in (None, ErrorCodes.NO_ERROR)
        assert app.most <= MAX_STREAMS


FLOODS = {
    "resets": CHEAP["resets"],
    "pings": CHEAP["pings"],
    "settings": CHEAP["settings"],
    "priorities": frame(2, b"\0\0\0\0\x10", 0, 7),
    "windows": frame(8, b"\0\0\0\x01", 0, 0),
    "unknown": CHEAP["unknown"],
}


@pytest.mark.parametrize("kind", FLOODS)
async def test_floods_end_the_connection(kind: str, server: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    """A flood of cheap frames ends in a GOAWAY, and the server answers others meanwhile and afterwards."""
    on_connection = kind in ("pings", "settings")
    flood = FLOODS[kind].replace(b"\0\0\0\x01", b"\0\0\0\0", 1) if on_connection else FLOODS[kind]
    async with open_server(tls=server, app=App()) as port, http2_client(port, trusting) as client:
        with trio.fail_after(60):
            client.request("/silent")
            await client.flush()
            client.greedy = False
            async with trio.open_nursery() as nursery:
                nursery.start_soon(pour, client, flood * 100)
                await client.read_until(lambda: False)
                nursery.cancel_scope.cancel()
            assert client.goaway in (ErrorCodes.ENHANCE_YOUR_CALM, *([ErrorCodes.STREAM_CLOSED] * (kind == "resets")))
            async with http2_client(port, trusting) as other:
                assert (await other.get()).status == 200


async def pour(client: Http2Client, data: bytes) -> None:
    """Send the same bytes for ever."""
    while True:
        try:
            await client.stream.send_all(data)
        except trio.BrokenResourceError:
            return


@pytest.mark.parametrize(("length", "number"), [(0, 2 * BURST), (200, 200), (16_000, 5)])
async def test_a_flood_of_continuations_ends_the_connection(
    length: int, number: int, server: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    """By its length, or by the number of its frames (h2 takes 64)."""
    block = frame(HEADERS, b"\x82", 1, 1) + frame(CONTINUATION, b"\0" * length, 0, 1) * number
    async with open_server(tls=server, app=App()) as port, http2_client(port, trusting) as client:
        with trio.fail_after(60):
            await client.stream.send_all(block)
            await client.read_until(lambda: False)
        assert client.goaway in (ErrorCodes.ENHANCE_YOUR_CALM, ErrorCodes.PROTOCOL_ERROR)


async def test_a_bomb_of_headers_ends_the_connection(server: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    """CVE-2016-6581: a small block that refers to a large field again and again is not expanded."""
    bomb = b"\x82\x87\x84\x41\x01a" + b"\x40\x04xxxx\x7f\xa1\x1e" + b"v" * 4000 + b"\xbe" * 8000
    async with open_server(tls=server, app=App()) as port, http2_client(port, trusting) as client:
        with trio.fail_after(60):
            await client.stream.send_all(frame(HEADERS, bomb, 5, 1))
            await client.read_until(lambda: False)
        assert client.goaway == ErrorCodes.ENHANCE_YOUR_CALM


async def test_the_table_of_response_headers_is_bounded(server: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    """A client that allows 4 GiB is answered with 4 KiB in use, and understands what it gets."""
    async with open_server(tls=server, app=App()) as port, http2_client(port, trusting) as client:
        for size in (2**32 - 1, 0, 2**20, 2**32 - 1):
            client.h2.update_settings({h2.settings.SettingCodes.HEADER_TABLE_SIZE: size})
            await client.flush()
            assert (await client.get()).status == 200
            assert (await client.get()).status == 200
        assert client.h2.decoder.header_table_size == ENCODER_TABLE


async def test_a_stream_that_is_not_read_is_reset(
    server: ssl.SSLContext, trusting: ssl.SSLContext, autojump_clock: trio.testing.MockClock
) -> None:
    """After `write_s`, at any window, also one that is opened by a byte at a time; other streams are served."""
    async with (
        open_server(tls=server, app=App()) as port,
        http2_client(port, trusting, greedy=False) as client,
        trio.open_nursery() as nursery,
    ):
        stalled = client.request("/large")
        await client.flush()
        started = trio.current_time()
        nursery.start_soon(open_slowly, client, stalled)
        assert (await client.answer(stalled)).reset == ErrorCodes.CANCEL
        assert trio.current_time() - started == pytest.approx(WRITE_S, abs=2)
        assert len(client.answers[stalled].body) < 65_535 + PROGRESS
        nursery.cancel_scope.cancel()
        client.h2.increment_flow_control_window(100_000)
        assert (await client.get()).status == 200


async def open_slowly(client: Http2Client, stream_id: int) -> None:
    """Open the windows by a byte each second."""
    while True:
        await trio.sleep(1)
        client.h2.increment_flow_control_window(1)
        client.h2.increment_flow_control_window(1, stream_id)
        await client.flush()


async def test_a_window_of_nothing_holds_nothing_for_ever(
    server: ssl.SSLContext, trusting: ssl.SSLContext, autojump_clock: trio.testing.MockClock
) -> None:
    """All streams of a connection, each without a window, are over after `write_s`, and the connection soon after."""
    app = App()
    async with open_server(tls=server, app=app) as port, http2_client(port, trusting) as client:
        client.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0})
        streams = [client.request("/large") for _ in range(MAX_STREAMS)]
        await client.flush()
        started = trio.current_time()
        await client.read_until(lambda: False)
        assert {client.answers[stream_id].reset for stream_id in streams} == {ErrorCodes.CANCEL}
        assert trio.current_time() - started == pytest.approx(WRITE_S + KEEP_ALIVE_S, abs=3)
        assert app.running == 0


async def test_a_client_that_reads_nothing_is_dropped(
    server: ssl.SSLContext, trusting: ssl.SSLContext, autojump_clock: trio.testing.MockClock
) -> None:
    """Its windows are wide open, but it does not read from the socket."""
    app = App()
    async with open_server(tls=server, app=app) as port, http2_client(port, trusting) as client:
        client.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 2**30})
        client.h2.increment_flow_control_window(2**30)
        for _ in range(50):
            client.request("/large")
        await client.flush()
        await trio.sleep(2 * WRITE_S)
        assert app.running == 0
        async with http2_client(port, trusting) as other:
            assert (await other.get()).status == 200


@pytest.mark.parametrize("bound", [{"connections": 1}, {"connections_per_peer": 1}])
async def test_a_connection_over_the_limit_is_answered(
    bound: dict[str, int],
    server: ssl.SSLContext,
    trusting: ssl.SSLContext,
    autojump_clock: trio.testing.MockClock,
) -> None:
    """503 or 429 in JSON for the first request, and a GOAWAY; a client that sends nothing is let go, too."""
    async with open_server(tls=server, app=App(), **bound) as port, http2_client(port, trusting) as first:
        first.request("/silent")
        await first.flush()
        await first.read()
        async with http2_client(port, trusting) as second:
            with trio.fail_after(60):
                refused = await second.get()
                await second.read_until(lambda: False)
            code = json.loads(refused.body)["error"]["code"]
            assert (refused.status, code) == ((503, "busy") if "connections" in bound else (429, "rate_limited"))
            assert refused.headers["retry-after"] == "1"
            assert second.goaway == ErrorCodes.NO_ERROR
        async with http2_client(port, trusting) as third:
            with trio.fail_after(60):
                await third.read_until(lambda: False)


async def test_an_idle_connection_makes_room(server: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    """One without requests, new or between them, is closed for another client, and one with a request is not."""
    async with (
        open_server(tls=server, app=App(), connections_per_peer=2) as port,
        http2_client(port, trusting) as first,
        http2_client(port, trusting) as second,
    ):
        busy = second.request("/silent")
        await second.flush()
        await second.read()
        await first.get()
        async with http2_client(port, trusting) as third:
            with trio.fail_after(5):
                await first.read_until(lambda: False)
                assert (await third.get()).status == 200
            assert not second.answers[busy].reset
            assert not second.ended


async def serving(server: ssl.SSLContext, app: App, grace_s: float, nursery: trio.Nursery) -> int:
    """A server in a nursery. Return its port."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    limits = ServerLimits(grace_s=grace_s)
    handler = FunctionUpgradeHandler(echo)
    await nursery.start(partial(serve, asgi_app=app, upgrade_handler=handler, limits=limits, tls=server), listeners)
    return int(listeners[0].socket.getsockname()[1])


async def test_a_drain_finishes_what_runs(
    server: ssl.SSLContext, trusting: ssl.SSLContext, autojump_clock: trio.testing.MockClock
) -> None:
    """GOAWAY at once, with the last stream that is served, and its answer; an idle connection is closed at once."""
    async with trio.open_nursery() as outer:
        nursery = await outer.start(serve_in_a_nursery)
        port = await serving(server, App(), 10.0, nursery)
        async with http2_client(port, trusting) as client, http2_client(port, trusting) as idle:
            await idle.get()
            slow = client.request("/slow")
            await client.flush()
            await client.read()
            began = trio.current_time()
            nursery.cancel_scope.cancel()
            await client.read_until(lambda: client.goaway is not None)
            (going,) = client.seen(ConnectionTerminated)
            assert (going.last_stream_id, trio.current_time() - began) == (slow, pytest.approx(0, abs=0.5))
            # The client's h2 takes no frames after a GOAWAY.
            assert (await rest_of(client)).endswith(b"done")
            assert trio.current_time() - began == pytest.approx(3, abs=1)
            await idle.read_until(lambda: False)
            assert idle.goaway == ErrorCodes.NO_ERROR


async def serve_in_a_nursery(task_status: trio.TaskStatus[trio.Nursery]) -> None:
    """Tell the nursery, which can be cancelled without the caller."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        task_status.started(nursery)


async def rest_of(client: Http2Client) -> bytes:
    """Return the payloads of the frames with data until the end of the connection."""
    received = b""
    while chunk := await client.stream.receive_some(65536):
        received += chunk
    data, at = b"", 0
    while at < len(received):
        length = int.from_bytes(received[at : at + 3])
        if received[at + 3] == 0:
            data += received[at + 9 : at + 9 + length]
        at += 9 + length
    return data


async def test_the_grace_ends(
    server: ssl.SSLContext, trusting: ssl.SSLContext, autojump_clock: trio.testing.MockClock
) -> None:
    """A request without an answer, and one whose client opens no window, do not hold up the end."""
    began = 0.0
    async with trio.open_nursery() as outer:
        nursery = await outer.start(serve_in_a_nursery)
        port = await serving(server, App(), 5.0, nursery)
        async with http2_client(port, trusting, greedy=False) as client:
            client.request("/silent")
            client.request("/large")
            await client.flush()
            await trio.sleep(1)
            began = trio.current_time()
            nursery.cancel_scope.cancel()
            await rest_of(client)
    assert trio.current_time() - began == pytest.approx(5, abs=1)


async def test_an_event_stream_over_http2(server: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    """Its events arrive as they are written, beside other requests; a reset by the client ends it."""
    stream = a_stream(head=b": hello\n\n")
    ended = end_of(stream)
    app = body_of(stream)
    async with open_server(tls=server, app=app) as port, http2_client(port, trusting) as client:
        events = client.request()
        await client.flush()
        received = client.answers[events].body
        with trio.fail_after(60):
            await client.read_until(lambda: b"hello" in received)
            stream.write_now([encode_block(b"1")])
            await client.read_until(lambda: b"data: 1\n\n" in received)
            client.h2.reset_stream(events)
            await client.flush()
            await ended.wait()
        assert stream.code == 1006


async def test_an_event_stream_that_is_not_read_ends(
    server: ssl.SSLContext, trusting: ssl.SSLContext, autojump_clock: trio.testing.MockClock
) -> None:
    """The writer is told after a bounded time; what waits is what one write holds."""
    stream = a_stream(head=b": hello\n\n")
    ended = end_of(stream)
    written = 0

    async def write() -> None:
        nonlocal written
        while True:
            try:
                await stream.write([b"x" * 10_000])
            except SocketClosed:
                return
            written += 10_000

    async with (
        open_server(tls=server, app=body_of(stream)) as port,
        http2_client(port, trusting, greedy=False) as client,
        trio.open_nursery() as nursery,
    ):
        events = client.request()
        await client.flush()
        nursery.start_soon(write)
        with trio.fail_after(2 * WRITE_S):
            assert (await client.answer(events)).reset == ErrorCodes.CANCEL
            await ended.wait()
        assert written <= 65_535 + 2 * 10_000


def mangled(seed: int) -> bytes:
    """A client's bytes with some of them changed."""
    chance = random.Random(seed)
    client = H2Connection(H2Configuration(client_side=True))
    client.initiate_connection()
    for number in range(3):
        stream_id = 2 * number + 1
        head = [(":method", "POST"), (":scheme", "https"), (":authority", "a"), (":path", "/"), ("x", "y" * number)]
        client.send_headers(stream_id, head)
        client.send_data(stream_id, b"body", end_stream=bool(number))
        client.ping(b"12345678")
    client.reset_stream(1)
    data = bytearray(client.data_to_send())
    for _ in range(chance.randint(1, 6)):
        data[chance.randrange(24, len(data))] = chance.randrange(256)
    return bytes(data)


async def test_nonsense_costs_a_connection_and_no_error(
    server: ssl.SSLContext, trusting: ssl.SSLContext, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever a client sends, nothing is logged above a warning, and the server lives."""
    trusting.set_alpn_protocols(["h2"])

    async def send(port: int, data: bytes) -> None:
        tcp = await trio.open_tcp_stream("127.0.0.1", port)
        stream = trio.SSLStream(tcp, trusting, server_hostname="localhost", https_compatible=True)
        await stream.do_handshake()
        await stream.send_all(data)
        with trio.move_on_after(0.02):
            while await stream.receive_some():
                pass
        await trio.aclose_forcefully(stream)

    plain: Callable[[int], bytes] = lambda seed: random.Random(seed).randbytes(200)  # noqa: E731
    async with open_server(tls=server, app=App()) as port:
        for seed in range(60):
            await send(port, mangled(seed))
        for seed in range(5):
            await send(port, plain(seed))
        async with http2_client(port, trusting) as client:
            assert (await client.get()).status == 200
    assert [record for record in caplog.records if record.levelno > logging.WARNING] == []
