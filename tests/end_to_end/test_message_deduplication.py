"""A repeated message id with the same content is one message; with other content it is refused and not stored."""

import uuid
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.end_to_end.recording_model import RecordingModel
from tests.end_to_end.thread_commands import ended, history, refused, send
from tests.rigs.chat_client import ChatClient, connected
from tests.rigs.http import get, new_token, request, upload
from tests.rigs.scripted_model import Gate, Say, scripted
from tests.rigs.serving import serving

KEY = "my key is AKIAQWERTYUIOPASDFGH"


async def accepted(client: ChatClient, message_id: str) -> dict[str, Any]:
    return await client.until("message_accepted", message_id=message_id)


@pytest.mark.promise("wire.repeat")
async def test_the_same_message_again_is_one_message(serve_guest: Any) -> None:
    recorder = RecordingModel()
    running, token = await serve_guest(recorder.agent())
    async with connected(running.address, token) as first, connected(running.address, token) as second:
        message = {"agent_type": "script", "message_id": "m1", "thread_id": "t", "conversation_id": "c"}
        await first.say(KEY, **message)
        event = await ended(first)
        assert "AKIA" not in event["data"]["content"]
        for client in (first, second):
            for left_out in ((), ("thread_id",), ("conversation_id",), ("thread_id", "conversation_id")):
                await client.say(KEY, **{name: value for name, value in message.items() if name not in left_out})
                assert await accepted(client, "m1") == event, left_out
                if client is second and not left_out:  # now subscribed: the events of the run are replayed
                    await second.until_end()
    assert len(recorder.turns) == 1
    assert len((await history(running, token))["messages"]) == 2


async def test_a_message_that_named_no_thread_is_the_same_when_it_names_the_one_it_was_put_in(serve: Any) -> None:
    running = await serve(RecordingModel().agent())
    async with connected(running.address) as client:
        await client.say("one", agent_type="script", message_id="m1")
        first = await ended(client)
        await client.say("one", agent_type="script", message_id="m1", thread_id=first["thread_id"])
        assert await accepted(client, "m1") == first


@pytest.mark.promise("wire.repeat-other", "wire.bad-message-id", "wire.error-message-id-reused", "wire.refused-by-name")
async def test_another_message_under_the_same_id_is_refused(serve_guest: Any) -> None:
    recorder = RecordingModel()
    running, token = await serve_guest(recorder.agent())
    _, file = await upload(running, token)
    async with connected(running.address, token) as client:
        message = {"agent_type": "script", "message_id": "m1", "thread_id": "t", "conversation_id": "c"}
        await client.say("one", **message)
        first = await ended(client)
        await client.say("two", **message | {"message_id": "m2"})
        await ended(client)
        shown = await history(running, token)
        others: list[tuple[str, dict[str, Any]]] = [
            ("other", message),
            ("one", message | {"references": [file["id"]]}),
            ("one", message | {"parent_id": f"answer-{first['run_id']}"}),
            ("one", message | {"thread_id": "u"}),
            ("one", {"agent_type": "script", "message_id": "m1", "conversation_id": "d"}),
        ]
        for content, payload in others:
            error = await client.ask(content, until="error", **payload)
            assert (error["data"]["code"], error["data"]["retryable"]) == ("message_id_reused", False), payload
            assert error["message_id"] == "m1"
        await send(client, "edit", message_id="m2", content="two", new_message_id="m1")
        assert await refused(client) == "message_id_reused"
    assert len(recorder.turns) == 2
    assert await history(running, token) == shown
    assert (await request(running.address, "GET", "/api/threads/u", token=token))[0] == 404


@pytest.mark.promise("wire.repeat")
async def test_the_same_id_at_the_same_moment_on_two_connections_is_one_message(serve_guest: Any) -> None:
    running, token = await serve_guest(RecordingModel().agent())
    async with connected(running.address, token) as first, connected(running.address, token) as second:
        for thread in (None, "a", None, "b"):
            name = uuid.uuid4().hex
            async with trio.open_nursery() as nursery:
                for number, client in enumerate((first, second)):
                    client.seen.clear()
                    where = {"thread_id": thread or f"{name}-{number}", "message_id": name}
                    nursery.start_soon(partial(client.say, "go", agent_type="script", **where))
            outcomes = [await outcome(client, name) for client in (first, second)]
            runs = {run_id for run_id in outcomes if run_id != "message_id_reused"}
            assert len(runs) == 1, outcomes
            assert outcomes.count("message_id_reused") == (thread is None), outcomes


async def outcome(client: ChatClient, name: str) -> str:
    """Return the run that a message was accepted with, once the run has ended, or the code of the refusal."""
    while True:
        event = await client.read()
        if event["type"] == "error" and event.get("message_id") == name:
            return str(event["data"]["code"])
        if event["type"] == "final_response" and event["message_id"] == name:
            return str(event["run_id"])


async def test_edits_and_new_answers_can_be_repeated(serve_guest: Any) -> None:
    gate = Gate()
    running, token = await serve_guest(scripted(Say("words", gate)))
    edit = {"message_id": "m1", "content": KEY, "new_message_id": "m2"}
    regenerate = {"message_id": "m1", "request_id": "q1"}
    async with connected(running.address, token) as first, connected(running.address, token) as second:
        await first.say("one", agent_type="script", thread_id="t", message_id="m1")
        await accepted(first, "m1")
        events = {}
        for kind, payload in (("edit", edit), ("regenerate", regenerate)):
            await send(first, kind, **payload)
            events[kind] = await first.until("message_accepted", branch_of="m1")
            await send(first, kind, **payload)
            assert await first.until("message_accepted") == events[kind]
        gate.opened.set()
        for _ in range(3):
            await first.until_end()
        for client in (first, second):
            for kind, payload in (("edit", edit), ("regenerate", regenerate)):
                await send(client, kind, **payload)
                while await client.read() != events[kind]:  # events of the other branches come between
                    pass
                if client is second and kind == "edit":  # subscribed from here: later events are replayed
                    for _ in range(3):
                        await client.until_end()
        for kind, payload in (("edit", edit), ("regenerate", regenerate)):
            unnamed = {"message_id": "m1"} | ({"content": KEY} if kind == "edit" else {})
            await send(first, kind, **unnamed)
            assert (await ended(first))["run_id"] not in [event["run_id"] for event in events.values()]
            await send(first, kind, **payload | {"message_id": "m2"})
            assert await refused(first) == "message_id_reused"
        await send(first, "edit", **edit | {"content": "other"})
        assert await refused(first) == "message_id_reused"
    shown = (await history(running, token))["messages"]
    assert [message["role"] for message in shown].count("user") == 3
    assert len(next(message for message in shown if message["id"] == "m1")["runs"]) == 3


@pytest.mark.promise("wire.repeat")
async def test_repeats_are_safe_across_a_restart_of_the_server(tmp_path: Path) -> None:
    commands: list[tuple[str, dict[str, Any]]] = [
        ("user_message", {"content": KEY, "thread_id": "t", "message_id": "m1"}),
        ("edit", {"message_id": "m1", "content": "What is 2 + 2?", "new_message_id": "m2"}),
        ("regenerate", {"message_id": "m2", "request_id": "q1"}),
    ]
    events = []
    async with serving(tmp_path, models_words_per_s=5000.0) as server:
        token = await new_token(server)
        async with connected(server.address, token) as client:
            for kind, payload in commands:
                await send(client, kind, **payload)
                events.append(await ended(client))
    async with serving(tmp_path) as server:
        for (kind, payload), first in zip(commands, events, strict=True):
            async with connected(server.address, token) as client:
                await send(client, kind, **payload)
                assert await client.until("message_accepted") == first
        async with connected(server.address, token) as client:
            await send(client, "user_message", content="other", thread_id="t", message_id="m1")
            assert await refused(client) == "message_id_reused"
        body = await get(server, "/api/threads/t/messages", token)
    assert [message["role"] for message in body["messages"]].count("user") == 2
    assert [len(message["runs"]) for message in body["messages"] if message["role"] == "user"] == [1, 2]
