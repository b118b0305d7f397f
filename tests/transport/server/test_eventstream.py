"""Event streams: the text format, the sink that an HTTP response reads as its body, and both over a real listener."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.rigs.event_samples import SAMPLES
from tests.rigs.loopback_server import FunctionUpgradeHandler, echo
from tests.rigs.sse import Parser, streaming
from tests.transport.server.streams import a_stream, end_of
from transport.server.eventstream import EventStream, encode_block, encode_event, encode_json, parse_last_event_id
from transport.server.http import HttpConfig
from transport.server.listener import serve
from transport.wire.codec import encode
from transport.wire.errors import CommandRejected, SocketClosed
from understudy.wire.dialects import Dialect


@pytest.mark.parametrize("name", SAMPLES)
def test_a_standard_parser_reads_back_every_encoded_event(name: str) -> None:
    """The parser gets type and data; a durable event sets the last id to its seq, and others leave it."""
    envelope = SAMPLES[name]
    frame = encode(envelope, Dialect.CANONICAL)
    assert frame is not None
    parser = Parser(last_id="7")
    (event,) = parser.feed(encode_event(envelope, frame))
    assert (event.kind, json.loads(event.data)) == (envelope.event.type, json.loads(frame))
    assert event.last_id == ("7" if envelope.seq is None else str(envelope.seq))


def test_a_drain_sets_the_retry_delay_of_the_client() -> None:
    parser = Parser()
    parser.feed(encode_event(SAMPLES["drain"], b"{}"))
    assert parser.retry_ms == 5000
    parser.feed(encode_block(b"{}", retry_s=0.0001))
    assert parser.retry_ms == 1


@pytest.mark.parametrize("data", [b"a\nb", b"a\rb", b"\n"])
def test_data_with_a_line_break_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="one line"):
        encode_block(data)


def test_json_stays_in_one_line_whatever_it_holds() -> None:
    """Line breaks of all kinds, and half a surrogate pair."""
    value = {"a": "one\r\ntwo\u2028\x85", "b": "\ud800"}
    (event,) = Parser().feed(encode_block(encode_json(value)))
    assert json.loads(event.data) == value | {"b": "?"}


@pytest.mark.parametrize(
    ("header", "after", "seq"),
    [(None, None, 0), ("", "", 0), (None, "7", 7), ("8", "7", 8), ("0", "7", 0), ("", "7", 7)],
)
def test_a_stream_starts_at_the_position_of_its_request(header: str | None, after: str | None, seq: int) -> None:
    """The header goes before the query; a stream starts at the first event when both are empty."""
    assert parse_last_event_id(header, after) == seq


@pytest.mark.parametrize("text", ["-1", "1.5", "x", "²", "9" * 17, " 1", "1e3"])
def test_a_last_event_id_that_is_no_number_is_refused(text: str) -> None:
    for header, after, name in ((text, None, "Last-Event-ID"), (None, text, "after")):
        with pytest.raises(CommandRejected, match=name) as refused:
            parse_last_event_id(header, after)
        assert refused.value.code == "invalid_command"


async def test_written_events_are_read_once_and_in_order() -> None:
    """The head first; payloads written between two reads come in one piece."""
    stream = a_stream(head=b"h")
    assert not stream.write_now([b"1"])  # the head was not taken yet
    assert await anext(stream) == b"h1"
    assert stream.write_now([b"2", b"3"])
    assert not stream.write_now([b"4"])
    assert await anext(stream) == b"234"


async def test_a_write_waits_until_the_reader_has_it() -> None:
    stream = a_stream()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream.write, [b"1"])
        await wait_all_tasks_blocked()
        assert nursery.child_tasks
        assert await anext(stream) == b"1"
        await wait_all_tasks_blocked()
        assert not nursery.child_tasks


async def test_a_reader_that_takes_nothing_is_given_up(autojump_clock: MockClock) -> None:
    """After `write_s`, with 1013; from then on nothing can be written."""
    stream = a_stream(write_s=20.0)
    began = trio.current_time()
    with pytest.raises(SocketClosed) as closed:
        await stream.write([b"1"])
    assert (closed.value.code, trio.current_time() - began) == (1013, 20.0)
    with pytest.raises(SocketClosed):
        stream.write_now([b"2"])
    assert not stream.open


async def test_a_quiet_stream_beats(autojump_clock: MockClock) -> None:
    stream = a_stream(beat_s=25.0)
    for _ in range(2):
        began = trio.current_time()
        assert await anext(stream) == b": beat\n\n"
        assert trio.current_time() - began == 25.0
    stream.write_now([b"1"])
    assert await anext(stream) == b"1"


async def test_a_closed_stream_still_yields_what_was_written(autojump_clock: MockClock) -> None:
    stream = a_stream()
    stream.write_now([b"1"])
    await stream.close(1001, "bye")
    await stream.close(1011)
    assert (stream.code, stream.reason) == (1001, "bye")
    assert [piece async for piece in stream] == [b"1"]


async def test_close_waits_a_limited_time_for_a_reader_to_leave(autojump_clock: MockClock) -> None:
    """A reader that never leaves delays `close` by `within_s`."""
    stream = a_stream()
    stream.write_now([b"1"])
    await anext(stream)
    began = trio.current_time()
    await stream.close(1001, within_s=2.0)
    assert trio.current_time() - began == 2.0
    await stream.close(1011, within_s=2.0)  # as the stream's actor does when it stops after the HTTP server closed it
    assert (stream.code, trio.current_time() - began) == (1001, 4.0)


async def test_a_reader_that_leaves_ends_the_stream() -> None:
    """The reader closes: a running write raises, and `on_end` is called."""
    stream = a_stream()
    ended = end_of(stream)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_lost, stream.write, [b"1"])
        await wait_all_tasks_blocked()
        assert not ended.is_set()
        await stream.aclose()
    assert ended.is_set()
    assert stream.code == 1006


async def _lost(write: Callable[..., Any], payloads: list[bytes]) -> None:
    with pytest.raises(SocketClosed) as closed:
        await write(payloads)
    assert closed.value.code == 1006


@asynccontextmanager
async def served(stream: EventStream, config: HttpConfig) -> AsyncIterator[str]:
    """Run an HTTP server that answers every request with `stream`. Yield its address."""
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        await nursery.start(
            partial(
                serve, listeners, asgi_app=body_of(stream), upgrade_handler=FunctionUpgradeHandler(echo), http=config
            )
        )
        yield f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


def body_of(stream: EventStream) -> Any:
    """Return an ASGI application that answers with `stream`, as Quart does."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_until_gone, receive, nursery.cancel_scope)
            try:
                async for piece in stream:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            finally:
                await stream.aclose()
            nursery.cancel_scope.cancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    return app


async def _until_gone(receive: Any, scope: trio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def test_the_http_server_does_not_cut_a_quiet_stream() -> None:
    """The stream is quiet for longer than a connection may idle between requests."""
    stream = a_stream(head=b": hello\n\n")
    config = HttpConfig(keep_alive_s=0.05)
    async with served(stream, config) as address, streaming(address, "/") as client:
        await client.some()
        with trio.move_on_after(0.3) as quiet:
            await client.some()
        assert quiet.cancelled_caught
        stream.write_now([encode_block(b"1")])
        assert (await client.read()).data == "1"


async def test_the_http_server_drops_a_client_that_reads_nothing() -> None:
    """The stream ends within `write_s` after the kernel's buffers are full, while a writer waits."""
    stream = a_stream(head=b": hello\n\n")
    config = HttpConfig(write_s=0.2)
    ended = end_of(stream)
    async with served(stream, config) as address, streaming(address, "/"), trio.open_nursery() as nursery:
        nursery.start_soon(_fill, stream)
        with trio.fail_after(10):
            await ended.wait()
        nursery.cancel_scope.cancel()
    assert stream.code == 1006


async def _fill(stream: EventStream) -> None:
    while stream.open:
        try:
            await stream.write([b"x" * 1024 * 1024])
        except SocketClosed:
            return


async def test_a_client_that_leaves_ends_the_stream() -> None:
    stream = a_stream(head=b": hello\n\n")
    ended = end_of(stream)
    async with served(stream, HttpConfig()) as address:
        async with streaming(address, "/") as client:
            await client.some()
        with trio.fail_after(5):
            await ended.wait()
    assert stream.code == 1006
