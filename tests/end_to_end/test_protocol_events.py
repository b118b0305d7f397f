"""The events of the protocol page over a socket: members, required data, numbers, dialects."""

import gzip
import json
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from attrs import evolve

from tests.rigs.chat_client import ChatClient, check_arc, connected
from tests.rigs.doc_tables import code, table
from tests.rigs.http import get, request
from tests.rigs.questions import PEARS, order
from tests.rigs.scripted_model import Call, Gate, Hand, Raise, Say, ScriptedModel, scripted
from tests.rigs.sse import streaming
from tests.rigs.tokens import SECRET, token_of
from understudy import Agent, Done, tool
from understudy.models.model import Emit, ModelUnavailable, Reply, Turn

ROWS = {code(row["type"])[0]: row for row in table("reference/protocol.md", "Events")}
LITTLE = ("ask_little", {"request": "go"})
KEY = "ghp_" + "a1B2c3D4" * 4 + "e5F6"
ENVELOPE = {"type", "seq", "thread_id", "run_id", "message_id", "conversation_id", "agent_type", "pillar", "priority"}
ENVELOPE |= {"timestamp", "message", "data", "asked_agent"}


async def pick_up(result: Any, arguments: Any) -> None:
    """Take a parcel back."""


async def was_sent(call_id: str, arguments: Any) -> Done:
    return Done("sent")


@tool(undo=pick_up, reconcile=was_sent, timeout_s=60)
async def ship(wait: bool = False) -> AsyncIterator[str]:
    """Pack and send a parcel, or wait for the van until the run is stopped."""
    yield "packed"
    if wait:
        await trio.sleep_forever()
    yield "sent"


class Titling(ScriptedModel):
    titles = True

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        return Reply(text="Going") if turn.purpose == "title" else await super().respond(turn, emit)


async def undo_story(client: ChatClient, clock: trio.testing.MockClock) -> None:
    """Take a call back; stop a run, whose call is settled afterwards."""
    end = await client.ask("go", agent_type="ships", thread_id="t4")
    await client.send({"type": "undo", "payload": {"run_id": end["run_id"]}})
    await client.until("call_undone")
    await client.ask("go", agent_type="waits", thread_id="t5", until="tool_partial")
    await client.send({"type": "cancel", "payload": {"run_id": client.seen[-1]["run_id"]}})
    await client.until_end()
    await trio.testing.wait_all_tasks_blocked(0.1)
    clock.jump(3)
    await client.until("call_settled")


def agents() -> tuple[Agent, ...]:
    work = Call([("tell_progress", {"steps": 1}), ("send_mail", {"to": "ada"}), ("order", {}), LITTLE])
    every = scripted(work, Say(f"The key is {KEY}."), name="every")
    first = Agent("first", model=scripted(Hand("every")).model, colleagues=("every",))
    every = evolve(every, tools=(*every.tools, order, scripted(Say("Little."), name="little").as_tool()))
    steered = scripted(Call([("order", {})]), Say("Done"), name="steered")
    steered = evolve(steered, tools=(order,))
    away = scripted(Raise(ModelUnavailable("Asleep.")), name="away")
    ships, waits = (
        evolve(scripted(Call([("ship", {"wait": wait})]), Say("Done"), name=name), tools=(ship,))
        for name, wait in (("ships", False), ("waits", True))
    )
    titled = Agent("titled", model=Titling(Say("Gone")))
    return first, every, steered, away, ships, waits, titled


async def story(address: str, clock: trio.testing.MockClock) -> list[dict[str, Any]]:
    """Return the events that two tabs of one user receive in a scenario with every type of event."""
    token, operator = token_of("ada"), token_of("op", roles=["operator"])
    async with connected(address, token) as first, connected(address, token) as second:
        required = await first.ask("go", agent_type="first", thread_id="t", until="approval_required")
        await first.send({"type": "approve", "payload": {"call_id": required["data"]["call_id"], "decision": "allow"}})
        question = next((event for event in first.seen if event["type"] == "question_asked"), None)
        question = question or await first.until("question_asked")
        answer = {"question_id": question["data"]["question_id"], "answer": PEARS}
        await first.send({"type": "answer", "payload": answer})
        end = await first.until_end(checked=True)
        await first.send({"type": "feedback", "payload": {"message_id": f"answer-{end['run_id']}", "rating": "up"}})
        await first.until("feedback")
        await first.ask("go", agent_type="away", thread_id="t2")
        question = await first.ask("go", agent_type="steered", thread_id="t3", until="question_asked")
        run_id = question["run_id"]
        for steer_id in ("s1", "s2"):
            await first.send({"type": "steer", "payload": {"run_id": run_id, "content": "Look", "steer_id": steer_id}})
            await first.until("steer_accepted")
        await first.send({"type": "unsteer", "payload": {"run_id": run_id, "steer_id": "s2"}})
        await first.until("steer_withdrawn")
        for again in (True, False):  # the script begins again with a message
            answer = {"question_id": question["data"]["question_id"], "answer": PEARS}
            await first.send({"type": "answer", "payload": answer})
            question = await first.until("question_asked") if again else question
        await first.until_end()
        await undo_story(first, clock)
        await first.ask("go", agent_type="titled", thread_id="t6")
        await first.until("thread_titled", title="Going")
        await request(address, "PATCH", "/api/threads/t6", token=token, body=b'{"pinned": true}')
        await first.until("thread_changed")
        await request(address, "POST", "/api/inbox/read", token=token, body=b'{"all": true}')
        await first.until("answers_read")
        await first.send({"type": "ping"})
        await first.until("pong")
        await first.send({"type": "resume", "payload": {"threads": {"t": 999}}})
        await first.until("resync")
        await second.send({"type": "typing", "payload": {"thread_id": "t"}})
        await first.until("typing")
        await request(address, "POST", "/api/alerts", token=operator, body=b'{"message": "Lunch"}')
        await first.until("alert")
    async with streaming(address, "/api/threads/t/stream", token) as stream:
        await stream.until("final_response")
        await trio.testing.wait_all_tasks_blocked(0.1)
        clock.jump(30)
        return [*first.seen, await stream.until("ping")]


@pytest.mark.promise(
    "wire.envelope", "wire.event-welcome", "wire.event-message-accepted", "wire.event-agent-started",
    "wire.event-agent-thinking", "wire.event-agent-handoff", "wire.event-tool-executing", "wire.event-tool-completed",
    "wire.event-subagent-started", "wire.event-subagent-completed", "wire.event-approval-required",
    "wire.event-approval-decided", "wire.event-steer-accepted", "wire.event-steer-taken", "wire.event-steer-withdrawn",
    "wire.event-question-asked", "wire.event-question-answered", "wire.event-agent-progress",
    "wire.event-partial-result", "wire.event-sanitization-summary", "wire.event-agent-completed",
    "wire.event-final-response", "wire.event-error", "wire.event-agent-error", "wire.event-typing",
    "wire.event-thread-titled", "wire.event-thread-changed", "wire.event-answers-read", "wire.event-feedback",
    "wire.event-alert", "wire.event-drain", "wire.event-ping", "wire.event-pong", "wire.event-resync", "wire.drain",
    "wire.close-1001",
)  # fmt: skip
async def test_every_event_of_the_page_comes_as_its_row_says(clock: trio.testing.MockClock, serve: Any) -> None:
    """Each event has the required data, no member outside its row, and a seq if and only if it is durable."""
    running = await serve(*agents(), secret=SECRET)
    events = await story(running.address, clock)
    async with connected(running.address, token_of("bob")) as client, trio.open_nursery() as nursery:
        nursery.start_soon(running.stop)
        events.append(await client.until("drain"))
        assert await client.until_closed() == 1001
    assert {event["type"] for event in events} == set(ROWS)
    for event in events:
        row = ROWS[event["type"]]
        required, optional = (set(code(row[title])) for title in ("required in `data`", "optional"))
        assert required <= set(event["data"]) <= required | optional, event
        durable = "run_id" in event if row["durable"] == "with a run" else row["durable"] == "yes"
        assert ("seq" in event) == durable, event
        assert {"type", "pillar", "priority", "timestamp", "message", "data"} <= set(event) <= ENVELOPE
        if durable:
            assert {"thread_id", "run_id", "message_id", "conversation_id", "agent_type"} <= set(event)
        assert abs(datetime.fromisoformat(event["timestamp"]).timestamp() - time.time()) < 60
        assert event["timestamp"][-5:-4] == "."
        assert event["timestamp"].endswith("Z")
    assert {event["priority"] for event in events} == {"alert", "high", "normal", "low"}


@asynccontextmanager
async def locked(database: Path) -> AsyncIterator[None]:
    """Hold the database's write lock during the block."""
    connection = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
    await trio.to_thread.run_sync(connection.execute, "BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


@pytest.mark.promise("wire.seq-committed")
async def test_an_event_is_sent_after_its_commit_only(serve_client: Any, tmp_path: Path) -> None:
    gate = Gate(open_after=1)
    async with serve_client(scripted(Say("one two", gate))) as client:
        await client.say("go", agent_type="script", thread_id="t")
        await gate.reached.wait()
        await client.until("partial_result")
        async with locked(tmp_path / "data" / "understudy.db"):
            gate.opened.set()
            await client.ask("and again", agent_type="script", thread_id="t2", until="partial_result")
            await client.send({"type": "ping"})
            count = len(client.durable())
            with trio.move_on_after(0.4):
                while True:
                    await client.read()
            assert len(client.durable()) == count
        for _ in range(2):
            end = await client.until_end()
            check_arc(client.durable(end["run_id"]))


async def test_the_stored_bytes_of_an_event_are_those_that_are_sent(serve_guest: Any, tmp_path: Path) -> None:
    """On a socket that is there as the run goes on, and on one that resumes from the beginning."""
    running, token = await serve_guest(scripted(Call([("echo", {"text": "a"})]), Say("one two")))
    sent: list[list[bytes]] = []
    for command in (
        {"type": "user_message", "payload": {"content": "go", "agent_type": "script", "thread_id": "t"}},
        {"type": "resume", "payload": {"threads": {"t": 0}}},
    ):
        frames: list[bytes] = []
        async with connected(running.address, token) as client:
            await client.send(command)
            while not frames or b'"type":"final_response"' not in frames[-1]:
                with trio.fail_after(60):
                    frame = (await client.socket.get_message()).encode()
                frames += [frame] if "seq" in json.loads(frame) else []
        sent.append(frames)
    with sqlite3.connect(tmp_path / "data" / "understudy.db") as connection:
        rows = [body for (body,) in connection.execute("SELECT body FROM events ORDER BY seq")]
    connection.close()
    assert sent == [rows, rows]
    assert len(rows) > 5


@pytest.mark.promise("wire.endpoint-events", "wire.seq")
async def test_durable_events_are_numbered_by_thread_from_1_and_are_those_of_the_log(serve_guest: Any) -> None:
    running, token = await serve_guest(scripted(Call([("echo", {"text": "a"})]), Say("one two")))
    async with connected(running.address, token) as client:
        for thread in ("a", "b"):
            await client.say("go", agent_type="script", thread_id=thread)
        for _ in range(2):
            await client.until_end()
    for thread in ("a", "b"):
        sent = [event for event in client.durable() if event["thread_id"] == thread]
        assert [event["seq"] for event in sent] == list(range(1, len(sent) + 1))
        log = await get(running, f"/api/threads/{thread}/events?after=0", token)
        assert log == {"events": sent, "last_seq": len(sent)}
        log = await get(running, f"/api/threads/{thread}/events?after=3&limit=2", token)
        assert [event["seq"] for event in log["events"]] == [4, 5]


async def frame_of(client: ChatClient, parts: dict[str, str]) -> tuple[str | bytes, list[dict[str, Any]]]:
    """Return the next frame and the events completed by it; `parts` holds the incomplete ones."""
    with trio.fail_after(60):
        raw = await client.socket.get_message()
    value = json.loads(gzip.decompress(raw) if isinstance(raw, bytes) else raw)
    if isinstance(value, dict) and value["type"] == "chunk":
        text = parts[value["id"]] = parts.get(value["id"], "") + value["data"]
        value = json.loads(text) if value["index"] == value["count"] - 1 else []
    return raw, value if isinstance(value, list) else [value]


async def replayed(client: ChatClient, **able: bool) -> tuple[list[str | bytes], list[dict[str, Any]]]:
    """Return all frames and all durable events of thread `t`, for a client with these capabilities."""
    await client.send({"type": "hello", "payload": able})
    await client.send({"type": "resume", "payload": {"threads": {"t": 0}}})
    frames: list[str | bytes] = []
    events: list[dict[str, Any]] = []
    parts: dict[str, str] = {}
    while not events or events[-1]["type"] != "final_response":
        frame, whole = await frame_of(client, parts)
        frames.append(frame)
        events += [event for event in whole if "seq" in event]
    return frames, events


ABLE = [{"batch"}, {"chunk"}, {"gzip"}, {"html"}, {"batch", "chunk", "gzip", "html"}, set()]


@pytest.mark.promise("wire.hello", "wire.hello-batch", "wire.hello-chunk", "wire.hello-gzip", "wire.hello-html")
async def test_a_client_is_sent_what_it_said_it_can_take_and_nothing_else(serve_guest: Any) -> None:
    """Arrays, parts and compressed binary frames are sent only if declared; the events are the same. `html`, which
    earlier clients declare, has no effect.
    """
    words = "# Title\n\n<b>bold</b> " + ("\u00e9" * 1000 + " ") * 20
    running, token = await serve_guest(scripted(Call([("echo", {"text": "a"})] * 4), Say(words)))
    async with connected(running.address, token) as first:
        await first.ask("go", agent_type="script", thread_id="t")
    for able in ABLE:
        async with connected(running.address, token) as client:
            frames, events = await replayed(client, **dict.fromkeys(able, True))
        assert events == first.durable(), able
        texts = [frame for frame in frames if isinstance(frame, str)]
        assert any(isinstance(frame, bytes) for frame in frames) == ("gzip" in able)
        assert any(text.startswith("[") for text in texts) == (able == {"batch"})
        assert any('"type":"chunk"' in text for text in texts) == (able == {"chunk"})
        if "chunk" in able:
            assert max(len(frame.encode() if isinstance(frame, str) else frame) for frame in frames) <= 16 * 1024
        if "gzip" in able:
            assert all(len(text.encode()) <= 1024 for text in texts)


@pytest.mark.promise("wire.no-followers", "wire.tabs")
async def test_a_thread_without_subscribers_is_delivered_to_all_its_users_connections(serve_guest: Any) -> None:
    running, token = await serve_guest(scripted(Say("one two")))
    async with connected(running.address, token) as client:
        last = (await client.ask("go", agent_type="script", thread_id="t"))["seq"]
    async with (
        connected(running.address, token) as first,
        connected(running.address, token) as second,
        connected(running.address) as stranger,
    ):
        body = {"type": "chat", "content": "go", "agent_type": "script", "thread_id": "t"}
        assert (await request(running.address, "POST", "/api/commands", token=token, body=body))[0] == 202
        for tab in (first, second):
            await tab.until_end(checked=True)
            assert tab.durable()[0]["seq"] == last + 1
        await stranger.send({"type": "ping"})
        assert (await stranger.read())["type"] == "pong"
