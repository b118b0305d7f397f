"""Batches, chunks and gzip, both ways, as far as the server takes them."""

import gzip
import json
from typing import Any

import pytest
import trio

from tests.transport.client.scripted import event, hear, kinds, next_events, stay, staying, talking
from transport.server.socket import Socket
from transport.wire.payloads import Binary, split
from understudy.client import RunFailed

LIMITS = {"frame_bytes": 20_000, "chunks_bytes": 200_000}
LARGE = gzip.compress(event("final_response", 1, data={"values": [0.5] * 3_000_000}), 1)


async def test_hello_is_the_first_thing_said() -> None:
    """With everything that the client takes; each may be left out."""
    received: list[Any] = []

    async def listen(socket: Socket) -> None:
        received.append(json.loads(await socket.receive()))
        await stay(socket, event("pong", thread_id=None))

    async with talking(listen, threads={"t": 1}) as (client, _):
        await kinds(client, 1)
    async with talking(listen, batch=False, chunk=False, gzip=False) as (client, _):
        await kinds(client, 1)
    assert received == [
        {"type": "hello", "payload": {"batch": True, "chunk": True, "gzip": True}},
        {"type": "hello", "payload": {"batch": False, "chunk": False, "gzip": False}},
    ]


async def test_batches_chunks_and_gzip_are_taken_apart() -> None:
    """Parts of two large frames among each other and other events between; a batch in parts; compressed ones."""
    large = event("agent_thinking", 2, thought="é🙂" * 50_000)
    batch = b"[" + event("agent_thinking", 3, thought="x" * 100_000) + b"," + event("agent_thinking", 4) + b"]"
    first, second = split(large, "1"), split(event("alert", thread_id=None, message="y" * 50_000), "2")

    async def speak(socket: Socket) -> None:
        await socket.write([b"[" + event("agent_thinking", 1) + b"," + event("pong", thread_id=None) + b"]"])
        for part_of_first, part_of_second in zip(first, [*second, *[None] * len(first)], strict=False):
            await socket.write([part for part in (part_of_first, part_of_second) if part is not None])
            await socket.write([event("pong", thread_id=None)])
        await socket.write([Binary(gzip.compress(part)) for part in split(batch, "3")])
        await stay(socket, Binary(gzip.compress(b"[" + event("agent_thinking", 5) + b"]")))

    async with talking(speak) as (client, _):
        heard = await next_events(client, 7 + len(first))
    assert [received.seq for received in heard if received.seq is not None] == [1, 2, 3, 4, 5]
    data = {received.seq or received.type: received.raw["data"] for received in heard}
    assert data[2]["thought"] == "é🙂" * 50_000
    assert data["alert"]["message"] == "y" * 50_000
    assert [received.type for received in heard].index("alert") < [received.seq for received in heard].index(2)


async def test_a_large_message_is_sent_in_parts() -> None:
    """The server accepts chunks: other commands are sent between those of one message."""
    received: list[Any] = []
    content = 'a "quoted" \\ é🙂\n' * 5000

    async def listen(socket: Socket) -> None:
        await socket.write([event("welcome", thread_id=None, limits=LIMITS, capabilities=["chunk"])])
        while not received or received[-1]["type"] != "cancel":
            received.append(await hear(socket))
            if received[-1].get("index") == 1:
                await socket.write([event("pong", thread_id=None)])
        await stay(socket, event("pong", thread_id=None))

    async with talking(listen) as (client, _):
        await client.say(content, message_id="mine")
        assert await kinds(client, 2) == ["welcome", "pong"]
        await client.cancel("r")
        await kinds(client, 1)
    parts = [frame for frame in received if frame["type"] == "chunk"]
    assert [(part["id"], part["index"], part["count"]) for part in parts] == [
        ("1", at, len(parts)) for at in range(len(parts))
    ]
    assert all(len(json.dumps(part).encode()) <= LIMITS["frame_bytes"] * 2 for part in parts)
    command = json.loads("".join(part["data"] for part in parts))
    assert command == {"type": "user_message", "payload": {"content": content, "message_id": "mine"}}


@pytest.mark.parametrize(
    ("capabilities", "size"), [(["batch"], 30_000), (["chunk"], 300_000)], ids=["no chunks", "too large for chunks"]
)
async def test_a_message_that_the_server_would_not_take_is_refused_here(capabilities: list[str], size: int) -> None:
    """A message over the server's limits: refused with its id, and not sent; later ones are sent."""
    received: list[Any] = []

    async def listen(socket: Socket) -> None:
        await socket.write([event("welcome", thread_id=None, limits=LIMITS, capabilities=capabilities)])
        received.append(await hear(socket))
        await stay(socket, event("pong", thread_id=None))

    async with talking(listen) as (client, _):
        with trio.fail_after(60), pytest.raises(RunFailed) as failed:
            await client.answer("x" * size)
        assert failed.value.code == "message_too_large"
        await client.cancel("r")
        assert await kinds(client, 3) == ["welcome", "error", "pong"]
        assert client.unaccepted == []
    assert [command["type"] for command in received] == ["cancel"]


async def test_a_large_event_does_not_hold_the_loop() -> None:
    """It is read in a thread; the guard of this suite would fail the test."""
    async with talking(staying(Binary(LARGE))) as (client, _):
        (received,) = await next_events(client, 1)
    assert len(received.raw["data"]["data"]["values"]) == 3_000_000
