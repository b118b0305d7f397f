"""Chunks, compression, acknowledgements and drains of a connection."""

import json
from typing import Any

import pytest
import trio
from websockets.frames import Opcode

from tests.transport.connection_rig import Rig, greeted, open_rig
from transport.connection.callbacks import ConnectionLimits
from transport.wire.events import Drain
from transport.wire.messages import Deliver, SubscribeThread
from transport.wire.payloads import split
from understudy.wire.commands import Say
from understudy.wire.events import AgentThinking, Envelope


async def said(rig: Rig, text: str) -> None:
    frame = json.dumps({"type": "message", "content": text}).encode()
    for part in split(frame, "1", 100):
        rig.client.protocol.send_text(part)
    await rig.client.flush()


async def outbox(rig: Rig) -> Any:
    (ref,) = rig.connection.children()
    return ref


def thought(seq: int, size: int) -> Envelope:
    return Envelope(AgentThinking("a", "é" * size, 1.0), 1.0, seq=seq, thread_id="t")


@pytest.mark.promise("wire.parts-in")
async def test_a_command_may_come_in_parts() -> None:
    """It is taken as if it had come in one frame; other commands may come between its parts."""
    async with greeted() as rig:
        await said(rig, "x" * 1000)
        assert (await rig.event())["data"]["thought"] == "x" * 1000
        assert rig.server.commands == [("ann", Say("x" * 1000))]
        first, *rest = split(b'{"type":"ping","payload":{"nonce":"whole"}}', "2", 10)
        rig.client.protocol.send_text(first)
        await rig.send({"type": "ping", "payload": {"nonce": "between"}})
        for part in rest:
            rig.client.protocol.send_text(part)
        await rig.client.flush()
        assert [(await rig.event())["data"]["nonce"] for _ in range(2)] == ["between", "whole"]


@pytest.mark.promise("wire.limit-chunks", "wire.bad-parts")
async def test_parts_that_are_too_much_are_refused_and_the_connection_lives_on() -> None:
    limits = ConnectionLimits(chunks_bytes=500)
    async with greeted(limits=limits) as rig:
        await said(rig, "x" * 1000)
        codes = []
        while len(codes) < 6:
            event = await rig.event()
            codes.append(event["data"]["code"])
        assert codes[0] == "message_too_large"
        assert set(codes[1:]) == {"invalid_command"}
        inner = json.dumps({"type": "chunk", "id": "i", "index": 0, "count": 1, "data": "{}"})
        await rig.send({"type": "chunk", "id": "o", "index": 0, "count": 1, "data": inner})
        assert (await rig.event())["data"]["message"] == "A chunk cannot hold another one."
        await rig.send({"type": "chunk", "id": "p", "index": 0, "count": 0, "data": ""}, {"type": "ping"})
        assert (await rig.event())["data"]["code"] == "invalid_command"
        assert await rig.events(1) == ["pong"]


@pytest.mark.promise("wire.ack")
async def test_an_acknowledgement_that_comes_before_its_thread_is_resumed_does_no_harm() -> None:
    """An ack of an unsubscribed thread is ignored. An ack of an event that was not sent is refused, and the connection
    goes on.
    """
    async with greeted() as rig:
        await rig.send({"type": "ack", "payload": {"thread_id": "t", "seq": 1}}, {"type": "ping"})
        assert await rig.events(1) == ["pong"]
        assert rig.server.counts.rendered == []
        (await outbox(rig)).tell(SubscribeThread("t", 1, 1))
        await rig.send({"type": "ack", "payload": {"thread_id": "t", "seq": 2}}, {"type": "ping"})
        assert (await rig.event())["data"]["code"] == "invalid_command"
        assert await rig.events(1) == ["pong"]


@pytest.mark.promise("wire.drain-begins-nothing")
async def test_a_server_that_goes_away_begins_no_more_work(autojump_clock: trio.testing.MockClock) -> None:
    """After a drain running answers go on, a message is refused as retryable, and 1001 follows."""
    async with greeted() as rig:
        started = trio.current_time()
        rig.connection.tell(Drain(reconnect_after_s=3.0, closes_in_s=8.0))
        assert await rig.events(1) == ["drain"]
        await rig.send({"type": "message", "content": "hi"}, {"type": "ping"})
        error = (await rig.event())["data"]
        assert (error["code"], error["retryable"], error["retry_after"]) == ("busy", True, 3.0)
        assert await rig.events(1) == ["pong"]
        assert (await rig.closed())[0] == 1001
        assert 7.9 < trio.current_time() - started < 8.5
        assert rig.server.commands == []


async def test_parts_come_after_the_token() -> None:
    """A socket that has shown none may not have megabytes kept for it."""
    async with open_rig(None) as rig:
        await rig.send({"type": "chunk", "id": "c", "index": 0, "count": 2, "data": "x" * 1000})
        assert (await rig.event())["data"]["code"] == "unauthenticated"
        assert (await rig.closed())[0] == 4400


async def test_parts_that_were_begun_and_left_are_forgotten(autojump_clock: trio.testing.MockClock) -> None:
    async with greeted(limits=ConnectionLimits(chunk_s=5.0)) as rig:
        room = rig.server.chunk_budget
        await rig.send({"type": "chunk", "id": "c", "index": 0, "count": 2, "data": "x" * 1000}, {"type": "ping"})
        assert await rig.events(1) == ["pong"]
        assert room.used == 1000
        frame = await rig.client.frame()
        assert (frame.opcode, room.used) == (Opcode.PING, 0)
        await rig.send({"type": "chunk", "id": "d", "index": 0, "count": 2, "data": "x"}, {"type": "ping"})
        assert await rig.events(1) == ["pong"]
        assert room.used == 1
        rig.client.protocol.send_close(1000)
        await rig.client.flush()
        await rig.connection.wait_stopped()
        assert room.used == 0


async def test_an_acknowledgement_after_a_resume_that_goes_back_is_fine() -> None:
    """Events sent before the client's resume may still be acknowledged."""
    async with greeted() as rig:
        ref = await outbox(rig)
        ref.tell(SubscribeThread("t", 0, 0))
        ref.tell(Deliver(thought(1, 1), thought(2, 1)))
        assert await rig.events(2) == ["agent_thinking"] * 2
        ref.tell(SubscribeThread("t", 1, 2))
        await rig.send({"type": "ack", "payload": {"thread_id": "t", "seq": 2}}, {"type": "ping"})
        assert "error" not in await rig.events(1)
