"""The endpoints of a running server: forms of "say", dialects, resume, duplicates, bad input, authentication."""

from contextlib import AsyncExitStack
from typing import Any

import pytest
import trio
import trio_websocket

from tests.rigs.chat_client import check_arc, connected
from tests.rigs.http import handshake, request
from tests.rigs.scripted_model import Gate, Say, scripted


@pytest.mark.promise("wire.resume-text")
async def test_resume_in_the_middle_of_an_answer_gives_the_text_again_from_the_start(serve_guest: Any) -> None:
    gate = Gate(open_after=3)
    running, token = await serve_guest(scripted(Say("one two three four five", gate)))
    async with connected(running.address, token) as first, connected(running.address, token) as second:
        await first.say("go", agent_type="script")
        await gate.reached.wait()
        thread = (await first.until("agent_started"))["thread_id"]
        await second.send({"type": "resume", "payload": {"threads": {thread: 0}}})
        piece = await second.until("partial_result")
        assert piece["data"]["offset"] == 0
        assert piece["data"]["text"].startswith("one ")
        gate.opened.set()
        await second.until_end()
    text = "".join(event["data"]["text"] for event in second.seen if event["type"] == "partial_result")
    assert text == second.seen[-1]["data"]["message"]
    check_arc(second.durable())


@pytest.mark.promise("wire.host")
async def test_without_a_secret_the_server_answers_under_a_name_of_this_machine_only(serve: Any) -> None:
    """A foreign host name that resolves to 127.0.0.1 is refused (DNS rebinding); with a secret any name is accepted."""
    running = await serve()
    status, _, body = await request(running.address, "GET", "/metrics", headers={"Host": "evil.example"})
    assert (status, body["error"]["code"]) == (403, "forbidden")
    assert (await handshake(running.address, "/ws", Host="evil.example"))[0] == 403
    assert (await request(running.address, "GET", "/healthz", headers={"Host": "localhost:8002"}))[0] == 200


@pytest.mark.promise("wire.limit-connections", "wire.close-4429", "owasp.connections")
async def test_one_connection_too_many_of_a_user_is_refused_with_4429(serve_guest: Any) -> None:
    running, token = await serve_guest()
    async with AsyncExitStack() as stack:
        for _ in range(19):
            await stack.enter_async_context(connected(running.address, token))
        async with connected(running.address, token), connected(running.address, token, welcome=False) as refused:
            assert await refused.until_closed() == 4429
            assert refused.seen[-1]["data"]["code"] == "rate_limited"
            assert refused.socket.closed is not None
            assert refused.socket.closed.reason == refused.seen[-1]["message"]
            assert "20 connections" in refused.socket.closed.reason
            assert "connections_per_user" in refused.socket.closed.reason
        with trio.fail_after(60):
            while True:
                try:
                    async with connected(running.address, token):
                        break
                except (trio_websocket.ConnectionClosed, AssertionError):
                    await trio.lowlevel.checkpoint()
