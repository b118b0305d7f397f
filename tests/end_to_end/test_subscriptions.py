"""Events are delivered to the tabs of their user, and to no other user."""

from typing import Any

import pytest
import trio

from tests.end_to_end.recording_model import RecordingModel
from tests.end_to_end.thread_commands import ended, send
from tests.rigs.chat_client import ChatClient, check_arc, connected
from understudy.app.server import Running
from understudy.storage.changes import Change
from understudy.storage.limits import Limits
from understudy.storage.records import LoggedEvent
from understudy.wire.events import AgentThinking
from understudy.wire.vocabulary import from_log, to_log

THREADS = 63
"""One less than the size at which a table of conversations once pruned ended ones."""


@pytest.mark.promise("wire.typing")
async def test_typing_is_shown_to_the_users_other_connections(serve_guest: Any) -> None:
    running, token = await serve_guest(RecordingModel().agent())
    async with (
        connected(running.address, token) as first,
        connected(running.address, token) as second,
        connected(running.address, token) as three,
        connected(running.address) as stranger,
    ):
        await first.say("one", agent_type="script", thread_id="t")
        await ended(first)
        for client in (second, three):
            await client.until_end()  # the new thread is delivered too
        for thread in ("t", "not begun"):
            await send(first, "typing", thread_id=thread)
            for client in (second, three):
                event = await client.until("typing")
                assert event["thread_id"] == thread
                assert "seq" not in event
        for client in (first, stranger):
            await send(client, "ping")
            assert (await client.read())["type"] == "pong"


@pytest.mark.promise("wire.repeat")
async def test_a_repeat_gets_the_whole_answer_though_its_conversation_was_killed(serve_guest: Any) -> None:
    """A restarted conversation subscribes all connections from the end of the log. A client that then repeats its
    message, because it saw none of its events, gets all of the message's events and not only its acceptance.
    """
    running, token = await serve_guest(RecordingModel().agent())
    async with connected(running.address, token) as client:
        await client.say("one", agent_type="script", thread_id="t", message_id="m1")
        await ended(client)
    async with connected(running.address, token) as again:
        (conversation,) = running.system.find("/system/conversations").children()
        conversation.kill()
        await again.say("one", agent_type="script", thread_id="t", message_id="m1")
        await ended(again)
        check_arc(again.durable())


@pytest.mark.promise("wire.seq")
async def test_an_open_screen_gets_what_was_stored_when_all_conversations_died(serve_guest: Any) -> None:
    """The conversations of many threads are killed together after an event is committed and before it is published. The
    event reaches the subscribed connection, however many other threads exist or begin meanwhile.
    """
    running, token = await serve_guest(RecordingModel().agent(), limits=Limits(messages_per_minute=1000))
    async with connected(running.address, token) as screen:
        for number in range(THREADS):
            await screen.say("one", agent_type="script", thread_id=f"t{number}")
            await ended(screen)
        running.system.find("/system/conversations").kill()
        await store_another(running, screen, "t0")
        async with connected(running.address, token) as other:
            with trio.fail_after(60):
                while not any(event["type"] == "final_response" for event in other.seen):
                    await other.say("one", agent_type="script", thread_id="new", message_id="m")
                    while (await other.read())["type"] not in ("error", "final_response"):
                        pass
        while (stored := await screen.read())["thread_id"] != "t0":
            pass
        assert (stored["type"], stored["data"]["thought"]) == ("agent_thinking", "stored")


async def store_another(running: Running, screen: ChatClient, thread_id: str) -> None:
    """Commit one more event of a thread without publishing it."""
    owner = screen.seen[0]["data"]["user"]
    last = (await running.store.events(owner, thread_id, 0))[-1]
    envelope = from_log(last.body)
    event = envelope.replace(event=AgentThinking("script", "stored", envelope.timestamp), seq=last.seq + 1)
    stored = LoggedEvent(last.seq + 1, event.event.type, last.run_id, to_log(event))
    await running.store.commit(Change(owner, thread_id, events=(stored,)))
