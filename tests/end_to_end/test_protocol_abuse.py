"""Bad input against a whole server: the stated close or error, other clients unaffected, bounded memory."""

import gzip
import json
import socket as sockets
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import pytest
import trio
import trio.testing
import trio_websocket

from tests.end_to_end.raw_connection import PONG_ASKED, beside_another, end_of, port_of
from tests.end_to_end.recording_model import RecordingModel
from tests.rigs.chat_client import connected
from tests.rigs.http import new_token
from tests.rigs.raw_websocket import BINARY, CLOSE, CONT, TEXT, RawWebSocket, frame, raw_websocket
from tests.rigs.scripted_model import Say, scripted

MIB = 1024 * 1024


@contextmanager
def little_kept(mebibytes: float) -> Iterator[None]:
    """Check that the process's traced memory grows by at most this many bytes during the block."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < mebibytes * MIB
    finally:
        tracemalloc.stop()


WRONG = {
    "no mask": (frame(TEXT, PONG_ASKED, mask=None), 1002),
    "a message within another": (frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"), 1002),
    "half a character, cut between frames": (frame(TEXT, b'"\xc3', fin=False) + frame(CONT, b'"'), 1007),
    "more than the transport takes": (frame(BINARY, b"", length=2**62), 1009),
    "more than it takes, by fragments": (
        frame(TEXT, b"x" * 600_000, fin=False) + frame(CONT, b"x" * 600_000, fin=False),
        1009,
    ),
}
"""One of each kind: the faults of single connections are in `tests/conformance`."""


def said(thread: str) -> bytes:
    command = {"type": "chat", "content": "x", "agent_type": "script", "thread_id": thread}
    return frame(TEXT, json.dumps(command).encode())


@pytest.mark.promise(
    "wire.close-1002", "wire.close-1007", "wire.close-1009", "wire.bad-frame-oversized", "wire.bad-frame-mask",
    "wire.bad-utf-split", "owasp.crash",
)  # fmt: skip
@pytest.mark.parametrize(("sent", "code"), WRONG.values(), ids=WRONG)
async def test_each_breach_of_the_protocol_has_its_code(serve_guest: Any, sent: bytes, code: int) -> None:
    running, token = await serve_guest(RecordingModel().agent())
    async with beside_another(running), raw_websocket(port_of(running), f"/ws?session_token={token}") as raw:
        await raw.frame()
        await raw.send(said("before") + sent + said("after"))
        assert await end_of(raw) == code
    async with connected(running.address, token) as client:
        await client.send({"type": "resume", "payload": {"threads": {"before": 0}}})
        await client.until_end()
        await client.send({"type": "resume", "payload": {"threads": {"after": 0}}})
        assert (await client.until("error"))["data"]["code"] == "not_found"


BOMBS = {
    "depth": b'{"type":"ping","x":' + b"[" * 120_000 + b"]" * 120_000 + b"}",
    "depth without an end": b"[" * 250_000,
    "many objects": b'{"type":"ping","x":[' + b"{}," * 80_000 + b"{}]}",
    "many names": b'{"type":"ping",' + b",".join(b'"%d":1' % number for number in range(25_000)) + b"}",
    "the same name": b'{"type":"ping"' + b',"a":1' * 40_000 + b"}",
    "a long number": b'{"type":"ping","x":' + b"1" * 250_000 + b"}",
    "a long exponent": b'{"type":"ping","x":1e' + b"9" * 250_000 + b"}",
    "escapes": b'{"type":"' + b"\\u0000" * 40_000 + b'"}',
}


@pytest.mark.promise("wire.bad-json")
async def test_a_bomb_of_json_costs_a_refusal(serve: Any) -> None:
    running = await serve()
    for name, bomb in BOMBS.items():
        async with beside_another(running), raw_websocket(port_of(running), "/ws") as raw:
            await raw.frame()
            with little_kept(16):
                for _ in range(5):
                    await raw.send(frame(TEXT, bomb))
                    error = json.loads((await raw.frame()).payload)
                    assert error["data"]["code"] in ("bad_json", "invalid_command", "unknown_type"), name
                    assert len(json.dumps(error)) < 1000, name
            await raw.send(frame(TEXT, PONG_ASKED))
            assert b'"pong"' in (await raw.frame()).payload


@pytest.mark.promise("wire.bad-gzip", "owasp.compression")
async def test_gzip_is_for_what_the_server_sends(serve: Any) -> None:
    running = await serve()
    async with raw_websocket(port_of(running), "/ws", offers=["permessage-deflate"]) as raw:
        assert raw.extensions == ""
        await raw.frame()
        await raw.send(frame(TEXT, b'{"type":"hello","payload":{"gzip":true}}'))
        await raw.send(frame(BINARY, gzip.compress(PONG_ASKED + b" " * 100_000)))
        assert json.loads((await raw.frame()).payload)["data"]["code"] == "bad_json"


@pytest.mark.promise("wire.close-1003")
@pytest.mark.parametrize("data", [b"\x1f\x8b\x08\x00", b"\x89PNG\r\n", b'{"type": "ping", "nonce": "\xff"}'])
async def test_binary_data_that_is_no_text_is_1003(serve_client: Any, data: bytes) -> None:
    async with serve_client() as client:
        await client.socket.send_message(data)
        assert await client.until_closed() == 1003
        assert client.seen[-1]["data"]["code"] == "bad_json"
        assert "UTF-8" in client.seen[-1]["message"]


@pytest.mark.promise("wire.close-1008", "wire.bad-faults", "owasp.rate")
async def test_more_than_a_hundred_faults_a_minute_are_1008(serve: Any) -> None:
    running = await serve()
    async with beside_another(running), connected(running.address) as client:
        began, answered = time.monotonic(), 0
        with suppress(trio_websocket.ConnectionClosed):
            while True:
                await client.send("{")
                assert (await client.read())["data"]["code"] == "bad_json"
                answered += 1
                await client.send({"type": "ping"})
                assert (await client.read())["type"] == "pong"
        assert client.socket.closed is not None
        assert client.socket.closed.code == 1008
        assert 100 <= answered <= 101 + (time.monotonic() - began) * 100 / 60


@pytest.mark.promise("wire.order", "wire.blocked", "wire.close-1013", "wire.bad-not-reading", "owasp.backpressure")
async def test_a_client_that_does_not_read_is_left_and_may_resume(clock: trio.testing.MockClock, serve: Any) -> None:
    threads = [f"t{number}" for number in range(8)]
    running = await serve(scripted(Say(" ".join(["x" * 100_000] * 6))))
    token = await new_token(running)
    slow = trio.socket.socket()
    slow.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    await slow.connect(("127.0.0.1", port_of(running)))
    raw = RawWebSocket(trio.SocketStream(slow))
    assert await raw.handshake(f"/ws?session_token={token}") == 101
    await raw.frame()
    async with raw.stream, connected(running.address, token) as client:
        for name in threads:
            await client.ask("go", agent_type="script", thread_id=name)
        everything = {"type": "resume", "payload": {"threads": dict.fromkeys(threads, 0)}}
        await raw.send(frame(TEXT, json.dumps(everything).encode()))
        await trio.testing.wait_all_tasks_blocked(0.2)
        clock.jump(20.5)
        await client.send({"type": "ping"})
        await client.until("pong")
        with trio.fail_after(5):
            frames = await raw.frames_to_the_end()
        assert (frames[-1].opcode, frames[-1].code) == (CLOSE, 1013)
        sent = (json.loads(event.payload) for event in frames[:-1])
        events = [event for event in sent if "seq" in event]
        assert 0 < len(events) < len(client.durable())
        reached = dict.fromkeys(threads, 0) | {event["thread_id"]: event["seq"] for event in events}
        async with connected(running.address, token) as again:
            await again.send({"type": "resume", "payload": {"threads": reached}})
            while len(events) + len(again.durable()) < len(client.durable()):
                await again.read()

    def story(of: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
        return [event for event in of if event["thread_id"] == name]

    for name in threads:
        assert story(events, name) + story(again.durable(), name) == story(client.durable(), name)


@pytest.mark.promise("owasp.tunnelling")
async def test_nothing_is_tunnelled(serve: Any) -> None:
    running = await serve()
    where = urlsplit(running.address)
    for line, statuses in (
        ("CONNECT example.org:22 HTTP/1.1", (400, 405, 501)),
        ("GET http://192.0.2.1/healthz HTTP/1.1", (200, 400, 403, 404)),
        ("GET //192.0.2.1/healthz HTTP/1.1", (200, 400, 403, 404)),
    ):
        with trio.fail_after(60):
            async with await trio.open_tcp_stream(where.hostname or "", where.port or 80) as stream:
                await stream.send_all(f"{line}\r\nHost: {where.netloc}\r\nConnection: close\r\n\r\n".encode())
                assert int((await stream.receive_some()).split()[1]) in statuses, line
