"""The limits of the protocol page at their defaults: at the limit a command is accepted, beyond it refused as stated.

For limits of time the test sets a slow clock forward.
"""

import json
import time
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from tests.end_to_end.recording_model import RecordingModel
from tests.end_to_end.thread_commands import ended
from tests.rigs.chat_client import ChatClient, connected
from tests.rigs.doc_tables import code, table
from tests.rigs.http import get
from tests.rigs.raw_websocket import CLOSE, PING, TEXT, RawWebSocket, frame, raw_websocket
from tests.rigs.scripted_model import Call, Gate, Say, scripted
from understudy.storage.limits import Limits

KIB = 1024
SOON_S = 1.5
"""Seconds of the slow clock within which a due event arrives: six real seconds, to allow for a loaded machine."""
PAGE = "reference/protocol.md"


PROGRESS = {
    "a tool": (Call([("wait", {})]), "tool_executing", "Still"),
    "a model": (Say("words", Gate()), "agent_started", "Still"),
    "a user": (Call([("send_mail", {"to": "ada"})]), "approval_required", "Waiting for your consent to send_mail"),
}


async def nothing_more(client: ChatClient) -> None:
    """Check that all events sent until now have been read."""
    await client.send({"type": "ping"})
    assert (await client.read())["type"] == "pong"


@pytest.mark.promise("wire.arc-progress")
@pytest.mark.parametrize(("turn", "last", "words"), PROGRESS.values(), ids=PROGRESS)
async def test_after_ten_seconds_without_a_word_there_is_one(
    clock: trio.testing.MockClock, serve_client: Any, turn: Any, last: str, words: str
) -> None:
    async with serve_client(scripted(turn, timeout_s=60), limits=Limits(run_s=60)) as client:
        await client.say("go", agent_type="script")
        await client.until(last)
        await trio.testing.wait_all_tasks_blocked(0.05)
        for _ in range(3):
            clock.jump(9.4)
            await nothing_more(client)
            clock.jump(0.7)
            with trio.fail_after(SOON_S):
                progress = await client.until("agent_progress")
            assert progress["data"]["note"].startswith(words)
            assert "seq" not in progress
        await client.send({"type": "cancel", "payload": {"run_id": client.durable()[0]["run_id"]}})
        await client.until_end(checked=True)


@pytest.mark.promise("wire.arc-place")
async def test_a_queued_run_reports_its_position_every_ten_seconds(clock: trio.testing.MockClock, serve: Any) -> None:
    gate = Gate()
    running = await serve(scripted(Say("words", gate), timeout_s=60), limits=Limits(run_s=60))
    async with connected(running.address) as client:
        await client.say("one", agent_type="script", thread_id="t")
        await gate.reached.wait()
        waiting = (await client.ask("two", agent_type="script", thread_id="t", until="agent_progress"))["run_id"]
        for _ in range(2):
            clock.jump(10.1)
            with trio.fail_after(SOON_S):
                while (await client.until("agent_progress"))["run_id"] != waiting:
                    pass
            assert client.seen[-1]["message"].startswith("Waiting: 1 before this one")
        gate.opened.set()
        for _ in range(2):
            assert (await client.until_end())["type"] == "final_response"


@pytest.mark.promise("wire.arc-place")
async def test_a_client_that_begins_to_follow_is_told_a_position_once(serve_guest: Any) -> None:
    gate = Gate()
    running, token = await serve_guest(scripted(Say("words", gate)))
    async with connected(running.address, token) as client:
        await client.say("one", agent_type="script", thread_id="t")
        await gate.reached.wait()
        async with connected(running.address, token) as second, connected(running.address, token) as third:
            await second.send({"type": "resume", "payload": {"threads": {"t": 0}}})
            await second.until("agent_started")
            await second.send({"type": "ping"})
            await second.until("pong")  # the outbox has asked for the snapshot
            await second.ask("two", agent_type="script", thread_id="t", until="agent_progress")
            await third.send({"type": "resume", "payload": {"threads": {"t": 0}}})
            await third.until("agent_progress")
            gate.opened.set()
            for follower in (second, third):
                await follower.until_end()
                await follower.until_end()
                assert [event["type"] for event in follower.seen].count("agent_progress") == 1


async def pong(raw: RawWebSocket) -> list[int]:
    """Request a pong event and read up to it. Return the opcodes of the frames before."""
    await raw.send(frame(TEXT, b'{"type":"ping"}'))
    kinds = []
    while (answer := await raw.frame()).opcode != TEXT or b'"pong"' not in answer.payload:
        kinds.append(answer.opcode)
    return kinds


@pytest.mark.promise("wire.limit-heartbeat", "wire.close-4408", "owasp.idle")
async def test_a_ping_comes_every_25_seconds_and_silence_ends_after_60(
    clock: trio.testing.MockClock, serve: Any
) -> None:
    running = await serve()
    port = int(running.address.rpartition(":")[2])
    async with raw_websocket(port, "/ws") as raw, raw_websocket(port, "/ws") as silent:
        assert json.loads((await raw.frame()).payload)["data"]["heartbeat_s"] == 25
        await silent.frame()
        clock.jump(24.0)
        assert await pong(raw) == []
        clock.jump(1.1)
        with trio.fail_after(SOON_S):
            assert (await raw.frame()).opcode == PING
            assert (await silent.frame()).opcode == PING
        clock.jump(25)
        assert (await silent.frame()).opcode == PING
        await pong(raw)
        clock.jump(10)
        with trio.fail_after(SOON_S):
            ends = await silent.frames_to_the_end()
        assert (ends[-1].opcode, ends[-1].code) == (CLOSE, 4408)
        await pong(raw)


@pytest.mark.promise(
    "wire.limit-frame", "wire.limit-transport", "wire.close-1009", "wire.bad-frame-oversized",
    "wire.error-message-too-large", "owasp.size",
)  # fmt: skip
async def test_a_frame_beyond_256_kib_is_refused_alone(serve: Any) -> None:
    running = await serve(RecordingModel().agent())
    head, tail = b'{"type":"message","agent_type":"script","content":"', b'"}'
    port = int(running.address.rpartition(":")[2])
    async with raw_websocket(port, "/ws") as raw:
        welcome = json.loads((await raw.frame()).payload)
        assert welcome["data"]["limits"]["frame_bytes"] == 256 * KIB
        for size, kind in ((256 * KIB, "message_accepted"), (256 * KIB + 1, "error"), (KIB * KIB, "error")):
            await raw.send(frame(TEXT, head + b"x" * (size - len(head) - len(tail)) + tail))
            while (event := json.loads((await raw.frame()).payload))["type"] != kind:
                assert event["type"] != "error"
            assert event["data"].get("code") in (None, "message_too_large")
        await pong(raw)
        await raw.send(frame(TEXT, b"", length=KIB * KIB + 1))
        ends = await raw.frames_to_the_end()
        assert (ends[-1].opcode, ends[-1].code) == (CLOSE, 1009)


@pytest.mark.promise("wire.limit-chunks", "owasp.size")
async def test_parts_have_8_mib_together(serve_client: Any) -> None:
    async with serve_client() as client:
        part = {"type": "chunk", "id": "1", "count": 40, "data": "x" * 250_000}
        for index in range(34):
            await client.send({**part, "index": index})
        error = await client.read()
        assert (error["type"], error["data"]["code"]) == ("error", "message_too_large")
        await nothing_more(client)


@pytest.mark.promise("wire.limit-messages", "wire.error-rate-limited", "owasp.rate")
async def test_a_user_says_120_messages_a_minute(serve_client: Any) -> None:
    async with serve_client(RecordingModel().agent()) as client:
        assert client.seen[0]["data"]["limits"]["messages_per_minute"] == 120
        began, taken = time.monotonic(), 0
        while True:
            await client.send({"type": "edit", "payload": {"message_id": "none", "content": "x"}})
            if (error := await client.until("error"))["data"]["code"] == "rate_limited":
                break
            taken += 1
        assert 120 <= taken <= 121 + 2 * (time.monotonic() - began)
        assert 0 < error["data"]["retry_after"] <= 0.5
        assert error["data"]["retryable"]
        await client.say("hello", agent_type="script", message_id="m", thread_id="t")
        refused = await client.until("error", code="rate_limited")
        assert (refused["message_id"], refused["thread_id"]) == ("m", "t")
        with trio.fail_after(60):
            while True:
                await trio.sleep(refused["data"]["retry_after"])
                await client.say("hello", agent_type="script", message_id="m", thread_id="t")
                if (refused := await client.read())["type"] == "message_accepted":
                    break
        await ended(client)


@pytest.mark.promise("wire.endpoint-machines", "wire.limit-settings", "wire.close-reconnect")
async def test_limits_and_codes_are_machine_readable(serve: Any) -> None:
    limits = Limits(messages_per_minute=7)
    running = await serve(limits=limits)
    document = await get(running, "/asyncapi.json")
    assert member(document, "x-limits") == attrs.asdict(limits)
    rows = {row["code"]: row["may reconnect"] == "yes" for row in table(PAGE, "Close codes")}
    assert {str(close["number"]): close["reconnect"] for close in member(document, "x-close-codes")} == rows
    names = [code(row["code"])[0] for row in table(PAGE, "Error codes")]
    assert [error["name"] for error in member(document, "x-error-codes")] == names


def member(value: Any, name: str) -> Any:
    """Return the first member of that name in a document."""
    if not isinstance(value, dict):
        return None
    return value.get(name) or next((it for inner in value.values() if (it := member(inner, name)) is not None), None)
