"""The HTTP side of the door: hypercorn behind a replaying stream."""

import http.client
import json
import logging
from functools import partial
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.rigs.loopback_server import (
    UPGRADE,
    FunctionUpgradeHandler,
    echo,
    exchange,
    get,
    hello_app,
    open_server,
    raw_socket,
    status_and_body,
)
from transport.server.http import HttpConfig, error_body, json_response
from transport.server.listener import ServerLimits, serve
from transport.server.replay_stream import ReplayStream
from understudy.wire.codes import ERRORS


async def mirror(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        return
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    answer = json.dumps({"method": scope["method"], "path": scope["path"], "bytes": len(body)}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(answer))]})
    await send({"type": "http.response.body", "body": answer})


async def test_requests_of_one_connection_follow_each_other() -> None:
    """The head that was read early is replayed once; bodies, and later requests on the connection, arrive whole."""

    def talk(port: int) -> list[Any]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        answers = []
        for method, body in (("POST", b"x" * 300_000), ("GET", None), ("PUT", b"abc")):
            connection.request(method, "/a%20b?q=1", body=body)
            answers.append(json.loads(connection.getresponse().read()))
        connection.close()
        return answers

    async with open_server(app=mirror) as port:
        replies = await trio.to_thread.run_sync(talk, port)
    assert [(item["method"], item["path"], item["bytes"]) for item in replies] == [
        ("POST", "/a b", 300_000),
        ("GET", "/a b", 0),
        ("PUT", "/a b", 3),
    ]


@pytest.mark.promise("wire.late-upgrade", "owasp.proxies")
@pytest.mark.parametrize("together", [False, True])
async def test_a_late_upgrade_is_served(together: bool) -> None:
    """A connection that has carried HTTP becomes a WebSocket, also if the request came with the one before it, and
    the first frame with the request."""
    first, frame = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n", b"\x81\x85" + bytes(4) + b"hello"
    async with open_server(app=mirror) as port, await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(first + UPGRADE + frame if together else first)
        received = b""
        while b"}" not in received:
            received += await stream.receive_some()
        assert received.startswith(b"HTTP/1.1 200")
        if not together:
            await stream.send_all(UPGRADE + frame)
        while not received.endswith(b"hello"):
            chunk = await stream.receive_some()
            assert chunk, received
            received += chunk
    assert b"HTTP/1.1 101 Switching Protocols" in received


async def test_a_late_upgrade_that_is_malformed_is_refused() -> None:
    async with open_server(app=mirror) as port, await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n" + UPGRADE.replace(b"13", b"7"))
        received = b"".join([chunk async for chunk in stream])
    assert b"HTTP/1.1 426" in received or b"HTTP/1.1 400" in received
    assert received.endswith(b'"retryable": false}}')


async def test_a_fault_of_the_application_costs_one_answer(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """The client sees 500, the log has the traceback, nothing is printed, and the door goes on."""

    async def broken(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"] == "/broken":
            raise RuntimeError("a secret")
        await mirror(scope, receive, send)

    async with open_server(app=broken) as port:
        status, body, headers = await trio.to_thread.run_sync(get, port, "/broken")
        assert (status, body) == (500, b"")
        assert headers["Server"] is None
        assert (await trio.to_thread.run_sync(get, port))[0] == 200
    assert any(record.name == "transport.server.http" and record.levelno == logging.ERROR for record in caplog.records)
    assert capsys.readouterr() == ("", "")


async def test_the_lifespan_surrounds_the_serving() -> None:
    """Startup comes before the first request; shutdown after the last, also when the door is cancelled."""
    story: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            story.append("request")
            await mirror(scope, receive, send)
            return
        while True:
            message = await receive()
            story.append(message["type"])
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return

    async with open_server(app=app) as port:
        await trio.to_thread.run_sync(get, port)
    assert story == ["lifespan.startup", "request", "lifespan.shutdown"]


async def _serve(app: Any, grace_s: float, nursery: trio.Nursery) -> int:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    limits = ServerLimits(grace_s=grace_s)
    await nursery.start(
        partial(serve, asgi_app=app, upgrade_handler=FunctionUpgradeHandler(echo), limits=limits), listeners
    )
    return int(listeners[0].socket.getsockname()[1])


async def test_a_running_request_finishes_within_the_grace(autojump_clock: trio.testing.MockClock) -> None:
    """Cancelling the door closes idle connections at once; a request in work still gets its answer."""

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await trio.sleep(3)
            await mirror(scope, receive, send)

    async def expect_answer(stream: trio.SocketStream) -> None:
        received = b"".join([chunk async for chunk in stream])
        assert received.startswith(b"HTTP/1.1 200")
        await stream.aclose()

    async with trio.open_nursery() as outer, trio.open_nursery() as nursery:
        port = await _serve(slow, 5.0, nursery)
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        await stream.send_all(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
        outer.start_soon(expect_answer, stream)


async def test_an_idle_connection_does_not_hold_up_the_end(autojump_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as nursery:
        port = await _serve(mirror, 60.0, nursery)
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        await stream.send_all(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
        assert (await stream.receive_some()).startswith(b"HTTP/1.1 200")
        await trio.sleep(1)
        started = trio.current_time()
        nursery.cancel_scope.cancel()
    assert trio.current_time() - started < 0.1
    await trio.aclose_forcefully(stream)


async def test_the_grace_ends(autojump_clock: trio.testing.MockClock) -> None:
    """An application that never answers, and a client that never reads, both are left behind when the grace is over."""

    async def endless(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return
        if scope["path"] == "/silent":
            await trio.sleep_forever()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})

    started = 0.0
    async with trio.open_nursery() as nursery:
        port = await _serve(endless, 5.0, nursery)
        streams = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(2)]
        for stream, path in zip(streams, (b"/silent", b"/flood"), strict=True):
            await stream.send_all(b"GET %s HTTP/1.1\r\nHost: here\r\n\r\n" % path)
        await trio.sleep(1)
        started = trio.current_time()
        nursery.cancel_scope.cancel()
    assert trio.current_time() - started == pytest.approx(5, abs=0.5)
    for stream in streams:
        await trio.aclose_forcefully(stream)


async def test_a_client_that_does_not_read_its_answer_is_dropped(autojump_clock: trio.testing.MockClock) -> None:
    """The write ends after its limit; later sends of the application do not raise, and do not block."""
    sends = 0
    done = trio.Event()

    async def flood(scope: Any, receive: Any, send: Any) -> None:
        nonlocal sends
        if scope["type"] == "lifespan":
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        started = trio.current_time()
        while trio.current_time() - started < 30:
            sends += 1
            with trio.move_on_after(0.5):
                await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
            await trio.sleep(0.5)
        done.set()

    async with open_server(app=flood) as port, await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
        with trio.fail_after(100):
            await done.wait()
        async with raw_socket(port) as other:
            assert await other.echoes(b"alive")
    assert sends > 2


async def polite(scope: Any, receive: Any, send: Any) -> None:
    """An application that cancels the request on `http.disconnect`, as frameworks do."""
    if scope["type"] == "lifespan":
        return

    async def leave(scope: trio.CancelScope) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(leave, nursery.cancel_scope)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        await send({"type": "http.response.body", "body": b"hello", "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        nursery.cancel_scope.cancel()


GET = b"GET / HTTP/1.1\r\nHost: here\r\n"


@pytest.mark.parametrize("app", [mirror, polite])
@pytest.mark.parametrize("request_", [GET + b"Connection: close\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n"])
async def test_a_connection_that_serves_once_is_closed_after_the_answer(
    app: Any, request_: bytes, autojump_clock: trio.testing.MockClock
) -> None:
    """At once, not after the time a connection may idle; also when the application cancels itself at the end."""
    async with open_server(app=app) as port:
        started = trio.current_time()
        with trio.fail_after(60):
            assert (await exchange(port, request_)).startswith(b"HTTP/1.1 200")
        assert trio.current_time() - started < 1


@pytest.mark.parametrize("app", [mirror, polite])
async def test_a_connection_that_idles_is_closed(app: Any, autojump_clock: trio.testing.MockClock) -> None:
    """After the time it may be kept alive, counted from its last answer; half a request is none."""
    keep_alive_s = HttpConfig().keep_alive_s
    async with open_server(app=app) as port, await trio.open_tcp_stream("127.0.0.1", port) as stream:
        for _ in range(3):
            started = trio.current_time()
            await stream.send_all(GET + b"\r\n")
            received = await stream.receive_some()
            while not received.endswith((b"hello", b"}")):
                received += await stream.receive_some()
            assert received.startswith(b"HTTP/1.1 200")
            await trio.sleep(keep_alive_s - 1)
        await stream.send_all(b"GET / HT")
        with trio.fail_after(60):
            assert await stream.receive_some() == b""
        assert trio.current_time() - started == pytest.approx(keep_alive_s, abs=0.5)


async def test_a_body_that_nobody_reads_does_not_keep_the_connection(autojump_clock: trio.testing.MockClock) -> None:
    """The application answers without reading the body: the response comes, and the connection ends."""

    async def deaf(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await trio.sleep(1)
            await hello_app(scope, receive, send)

    body = b"".join(b"1\r\nx\r\n" for _ in range(50))
    request = b"POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + body
    async with open_server(app=deaf) as port, await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(request + b"0\r\n\r\n")
        with trio.fail_after(60):
            received = b"".join([chunk async for chunk in stream])
        assert received.endswith(b"hello")


H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
TWO_ENDS = b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"


async def test_http2_is_not_spoken(autojump_clock: trio.testing.MockClock) -> None:
    """A request for h2c is answered in HTTP/1.1 alone; the preface is refused, first or later on a connection."""
    async with open_server(app=mirror) as port:
        upgraded = await exchange(port, GET + H2C)
        assert upgraded.startswith(b"HTTP/1.1 200")
        assert upgraded.count(b"HTTP/") == 1
        status, body = status_and_body(await exchange(port, PREFACE))
        assert (status, body["error"]["code"]) == (505, "invalid_command")
        later = await exchange(port, GET + b"\r\n" + PREFACE)
        assert later.startswith(b"HTTP/1.1 200")
        assert b"}HTTP/1.1 505" in later


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        *((TWO_ENDS.replace(b"Content-Length", name), 400) for name in (b"Content-Length", b"cOnTeNt-LeNgTh")),
        *((GET.replace(b"GET", method) + b"\r\n", 501) for method in (b"BREW", b"get", b"CONNECT", b"TRACE")),
    ],
)
async def test_a_request_that_cannot_be_served_ends_its_connection(request_: bytes, code: int) -> None:
    """The first request of a connection, or a later one; methods are case-sensitive, names of headers are not."""
    async with open_server(app=mirror) as port:
        status, body = status_and_body(await exchange(port, request_))
        assert (status, body["error"]["code"]) == (code, "invalid_command")
        later = await exchange(port, GET + b"\r\n" + request_ + GET + b"\r\n")
        assert later.startswith(b"HTTP/1.1 200")
        assert b"}HTTP/1.1 %d" % code in later
        assert later.count(b"HTTP/1.1 ") == 2


async def test_a_request_that_is_not_http_is_refused() -> None:
    """Garbage with the shape of a head is answered with 400 by hypercorn."""
    async with open_server(app=mirror) as port:
        assert (await exchange(port, b"hello there\r\n\r\n")).startswith(b"HTTP/1.1 400")


async def test_a_replayed_stream_gives_the_head_first() -> None:
    """The head once, then the peer's bytes, then the end; sent bytes reach the peer."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    client = await trio.open_tcp_stream("127.0.0.1", listeners[0].socket.getsockname()[1])
    server = await listeners[0].accept()
    replay = ReplayStream(server, b"head", write_s=1.0)
    await client.send_all(b"tail")
    assert [await replay.receive_some(), await replay.receive_some(100)] == [b"head", b"tail"]
    await replay.send_all(b"answer")
    await replay.send_eof()
    assert [await client.receive_some(), await client.receive_some()] == [b"answer", b""]
    await client.aclose()
    assert await replay.receive_some() == b""
    await replay.aclose()
    await listeners[0].aclose()
    await wait_all_tasks_blocked()


@pytest.mark.parametrize("code", sorted(ERRORS))
def test_every_error_has_a_body(code: str) -> None:
    """Code, sentence and whether to try again come from the registry."""
    assert error_body(code) == {
        "error": {"code": code, "message": ERRORS[code].text, "retryable": ERRORS[code].retryable}
    }
    assert error_body(code, "Other words.")["error"]["message"] == "Other words."


def test_an_answer_is_a_whole_response() -> None:
    """Length and type fit; nothing may frame or keep it; 401 names a way to authenticate; a header smuggles no line."""
    response = json_response(401, {"ü": 1}, {"X-Extra": "yes"})
    head, _, body = response.partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [
        b"HTTP/1.1 401 Unauthorized",
        b"Content-Type: application/json",
        b"Content-Length: 9",
        b"Connection: close",
        b"Content-Security-Policy: default-src 'none'; frame-ancestors 'none'",
        b"X-Content-Type-Options: nosniff",
        b"Referrer-Policy: no-referrer",
        b"Cache-Control: no-store",
        b"WWW-Authenticate: Bearer",
        b"X-Extra: yes",
    ]
    assert json.loads(body) == {"ü": 1}
    with pytest.raises(ValueError, match="line break"):
        json_response(200, {}, {"X": "a\r\nSet-Cookie: b"})
