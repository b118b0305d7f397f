"""Who is told of what: the tabs of a user, and nobody else."""

from typing import Any

import pytest

from tests.end_to_end.peer import check_arc, connected
from tests.end_to_end.script import Gate, Say, scripted
from tests.end_to_end.test_branches import ended, new_token, send
from tests.end_to_end.witness import Witness


@pytest.mark.promise("wire.typing")
async def test_typing_is_shown_to_the_users_other_connections(serve: Any) -> None:
    """To all of them, whether they follow the thread or not; not to the one that types, nor to another user."""
    running = await serve(Witness().agent())
    token = await new_token(running)
    async with (
        connected(running.address, token) as one,
        connected(running.address, token) as two,
        connected(running.address, token) as three,
        connected(running.address) as stranger,
    ):
        await one.say("one", agent_type="script", thread_id="t")
        await ended(one)
        await send(two, "resume", threads={"t": 0})
        await two.until_end()
        for thread in ("t", "not begun"):
            await send(one, "typing", thread_id=thread)
            for peer in (two, three):
                told = await peer.until("typing")
                assert told["thread_id"] == thread
                assert "seq" not in told
        for peer in (one, stranger):
            await send(peer, "ping")
            assert (await peer.read())["type"] == "pong"


@pytest.mark.promise("wire.no-followers")
async def test_a_thread_that_begins_is_told_to_all_connections_of_its_user(serve: Any) -> None:
    """The tab that asked is gone; another one, which could not have asked for the thread, is told all of it."""
    gate = Gate(open_after=1)
    running = await serve(scripted(Say("some words", gate)))
    token = await new_token(running)
    async with connected(running.address, token) as other, connected(running.address) as stranger:
        async with connected(running.address, token) as one:
            await one.say("go", agent_type="script", thread_id="t")
            await one.until("partial_result")
        gate.opened.set()
        end = await other.until_end()
        assert end["data"]["message"] == "some words "
        check_arc(other.durable())
        await send(stranger, "ping")
        assert (await stranger.read())["type"] == "pong"
