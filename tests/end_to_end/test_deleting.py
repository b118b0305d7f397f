"""Deleting threads with active runs, and message ids that are reserved."""

from typing import Any

import pytest
import trio

from tests.rigs.chat_client import check_arc, connected, ended
from tests.rigs.http import get, request
from tests.rigs.scripted_model import Call, Say, scripted
from understudy.app.server import Running


async def delete(running: Running, token: str, thread: str) -> int:
    return (await request(running.address, "DELETE", f"/api/threads/{thread}", token=token))[0]


@pytest.mark.promise("wire.arc-deleted")
async def test_subscribers_of_a_deleted_thread_see_its_run_end(serve_guest: Any) -> None:
    running, token = await serve_guest(scripted(Call([("wait", {})])))
    async with connected(running.address, token) as first, connected(running.address, token) as second:
        await first.ask("go", agent_type="script", thread_id="t", until="tool_executing")
        await second.send({"type": "resume", "payload": {"threads": {"t": 0}}})
        await second.until("tool_executing")
        with trio.fail_after(60):
            assert await delete(running, token, "t") == 204
        for client in (first, second):
            assert (await client.until_end())["data"]["status"] == "cancelled"
            check_arc(client.durable())
    assert "understudy_runs_without_end 0.0" in await get(running, "/metrics")
    assert (await request(running.address, "GET", "/api/threads/t", token=token))[0] == 404


async def test_a_thread_can_be_deleted_while_a_call_waits_for_consent(serve_guest: Any) -> None:
    running, token = await serve_guest(scripted(Call([("send_mail", {"to": "anna"})])))
    async with connected(running.address, token) as client:
        required = await client.ask("go", agent_type="script", thread_id="t", until="approval_required")
        with trio.fail_after(60):
            assert await delete(running, token, "t") == 204
        assert (await client.until_end())["data"]["status"] == "cancelled"
        check_arc(client.durable())
        changed = await client.read()
        assert (changed["type"], changed["thread_id"], changed["data"]) == ("thread_changed", "t", {"deleted": True})
        await client.send({"type": "approve", "call_id": required["data"]["call_id"], "decision": "allow"})
        assert (await client.read())["data"]["code"] == "not_found"


async def test_a_thread_begins_anew_under_the_name_of_a_deleted_one(serve_guest: Any) -> None:
    running, token = await serve_guest(scripted(Say("hello")))
    async with connected(running.address, token) as first, connected(running.address, token) as second:
        await first.ask("go", agent_type="script", thread_id="t")
        assert await delete(running, token, "t") == 204
        for client in (first, second):
            client.seen.clear()
            await client.ask("again", agent_type="script", thread_id="t")
        assert [event["seq"] for event in first.durable()][:4] == [1, 2, 3, 4]
        check_arc(first.durable())


async def test_a_message_said_while_its_thread_is_deleted_is_answered_or_refused(serve_guest: Any) -> None:
    running, token = await serve_guest(scripted(Say("hello")))
    async with connected(running.address, token) as client:
        for number in range(10):
            thread = f"t{number}"
            await client.ask("first", agent_type="script", thread_id=thread)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(delete, running, token, thread)
                await client.say("second", agent_type="script", thread_id=thread)
            await ended(client, thread)
            client.seen.clear()
            await client.say("third", agent_type="script", thread_id=thread, message_id=f"third-{number}")
            end = await ended(client, thread)
            assert (end["type"], end["message_id"]) == ("final_response", f"third-{number}")
            check_arc(client.durable(end["run_id"]))
