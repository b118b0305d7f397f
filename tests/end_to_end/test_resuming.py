"""Cursors that the log cannot serve: unknown threads, a trimmed log, a restored one, many threads at once."""

from typing import Any

import pytest
import trio
import trio.testing

from tests.end_to_end.recording_model import RecordingModel
from tests.end_to_end.thread_commands import ended, history, send
from tests.rigs.chat_client import check_arc, connected
from tests.rigs.http import get
from tests.rigs.scripted_model import Gate, Say, scripted
from understudy.storage.changes import Change
from understudy.storage.records import LoggedEvent, Thread


@pytest.mark.promise("wire.resume-many", "wire.bad-cursor-foreign")
async def test_unknown_and_foreign_threads_are_named_and_the_others_followed(serve_guest: Any) -> None:
    running, token = await serve_guest(RecordingModel().agent())
    async with connected(running.address, token) as mine, connected(running.address) as other:
        await other.say("one", agent_type="script", thread_id="theirs")
        await ended(other)
        await mine.say("one", agent_type="script", thread_id="mine")
        await ended(mine)
    async with connected(running.address, token) as client:
        await send(client, "resume", threads={"theirs": 0, "mine": 0, "nowhere": 5})
        refused = await client.until("error")
        assert refused["data"]["code"] == "not_found"
        assert "theirs" in refused["message"]
        assert "nowhere" in refused["message"]
        assert "mine" not in refused["message"]
        await client.until_end(checked=True)
        assert {event["thread_id"] for event in client.durable()} == {"mine"}


async def test_a_thread_whose_only_message_was_refused_is_unknown_too(serve_guest: Any) -> None:
    running, token = await serve_guest(RecordingModel().agent())
    async with connected(running.address, token) as client:
        await client.say("one", agent_type="script", thread_id="mine")
        await ended(client)
        await client.say("two", agent_type="script", thread_id="new", parent_id="answer-nowhere")
        assert (await client.until("error"))["data"]["code"] == "not_found"
    async with connected(running.address, token) as client:
        for threads in ({"new": 0}, {"new": 0, "mine": 0}):
            await send(client, "resume", threads=threads)
            refused = await client.until("error")
            assert refused["data"]["code"] == "not_found"
            assert refused["thread_id"] == "new"
            assert refused["message"] == "There is no conversation called new."
        await client.until_end()
        assert {event["thread_id"] for event in client.durable()} == {"mine"}


@pytest.mark.promise("wire.resume-beyond", "wire.bad-cursor-future")
async def test_a_client_that_has_seen_more_than_the_log_has_is_told_to_read_the_history(serve_guest: Any) -> None:
    running, token = await serve_guest(RecordingModel().agent())
    async with connected(running.address, token) as client:
        await client.say("one", agent_type="script", thread_id="t")
        await ended(client)
        head = client.durable()[-1]["seq"]
    async with connected(running.address, token) as client:
        for beyond in (head + 40, 2**53, 2**63 - 1):
            await send(client, "resume", threads={"t": beyond})
            resync = await client.until("resync")
            assert (resync["thread_id"], resync["data"]) == ("t", {"last_seq": head})
        await client.say("two", agent_type="script", thread_id="t")
        await ended(client)
        assert client.durable()[0]["seq"] == head + 1
        check_arc(client.durable())
        await send(client, "resume", threads={"t": client.durable()[-1]["seq"]})
        await send(client, "ping")
        assert (await client.read())["type"] == "pong", "who stands at the end needs no history"


@pytest.mark.promise("wire.event-resync", "wire.resume-trimmed")
async def test_after_a_trim_of_the_log_the_client_reads_the_history(serve_guest: Any) -> None:
    gate = Gate(open_after=1)
    running, token = await serve_guest(RecordingModel().agent(), scripted(Say("some words", gate), name="slow"))
    async with connected(running.address, token) as client:
        user = client.seen[0]["data"]["user"]
        for text in ("one", "two"):
            await client.say(text, agent_type="script", thread_id="t", message_id=f"m-{text}")
            await ended(client)
        first = client.durable()[0]
        begun = await client.ask("three", agent_type="slow", thread_id="t", until="message_accepted")
        await client.until("partial_result")
        second = next(
            event for event in client.seen if event["type"] == "message_accepted" and event["message_id"] == "m-two"
        )
        await running.store.trim(user, "t", second["seq"] + 1)
        await client.say("two", agent_type="script", thread_id="t", message_id="m-two")
        again = await client.until("message_accepted")
        assert (again["data"], "seq" in again) == (second["data"], False)
        await running.store.trim(user, "t", 10**9)
        async with connected(running.address, token) as late:
            await send(late, "resume", threads={"t": 1})
            assert (await late.until("resync"))["data"]["last_seq"] >= begun["seq"]
            gate.opened.set()
            await late.until_end()
        await client.until_end()
        log = await get(running, "/api/threads/t/events", token)
        assert [event["type"] for event in log["events"]][:2] == ["message_accepted", "agent_started"]
        assert log["events"][0]["seq"] == begun["seq"]
        shown = (await history(running, token))["messages"]
        assert [entry["content"] for entry in shown] == ["one", "answer 1", "two", "answer 2", "three", "some words "]
        # A repeated message from before the trim is still deduplicated.
        await client.say("one", agent_type="script", thread_id="t", message_id="m-one")
        again = await client.until("message_accepted")
        assert again["data"] == first["data"]
        assert "seq" not in again


@pytest.mark.promise("wire.resume-many")
async def test_a_hundred_threads_are_resumed_at_once_and_others_are_served_meanwhile(
    clock: trio.testing.MockClock, serve_guest: Any
) -> None:
    """Server and test have the slow clock, so that a busy machine has time."""
    running, token = await serve_guest(RecordingModel().agent())
    async with connected(running.address, token) as client:
        user = client.seen[0]["data"]["user"]
        await client.say("one", agent_type="script", thread_id="t0")
        await ended(client)
        events = [event.body for event in await running.store.events(user, "t0", 0)]
        for number in range(1, 101):
            name = f"t{number}"
            logged = tuple(
                LoggedEvent(seq, "agent_thinking", None, body.replace(b'"t0"', b'"%s"' % name.encode()))
                for seq, body in enumerate(events, 1)
            )
            await running.store.commit(
                Change(user, name, logged, Thread(user, name, "title", "script", None, 0.0, 0.0))
            )
    async with connected(running.address, token) as client, connected(running.address) as other:
        began = trio.current_time()
        await send(client, "resume", threads={f"t{number}": 0 for number in range(1, 101)})
        await other.ask("one", agent_type="script", thread_id="t")
        other_took = trio.current_time() - began
        ends = [await client.until_end() for _ in range(100)]
        took = trio.current_time() - began
        assert len({end["thread_id"] for end in ends}) == 100
        assert other_took < 2, "another user's message waits for nobody's threads"
        assert took < 5
        await send(client, "resume", threads={f"t{number}": 0 for number in range(101)})
        refused = await client.until("error")
        assert refused["data"]["code"] == "invalid_command"
        assert "100" in refused["message"]
