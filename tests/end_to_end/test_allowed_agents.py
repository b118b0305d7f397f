"""Agents for some users only, and servers without the built-in agents."""

from typing import Any

import pytest

from tests.rigs.allowed_agents import ADA, BOB, start
from tests.rigs.chat_client import connected
from tests.rigs.http import get, request
from tests.rigs.scripted_model import Say, scripted
from understudy import Agent
from understudy.app.server import Running


async def names(running: Running, who: str) -> list[str]:
    return [agent["name"] for agent in (await get(running, "/api/agents", who))["agents"]]


@pytest.mark.promise("wire.agent-allowed")
async def test_an_agent_does_not_exist_for_those_it_does_not_allow(serve: Any) -> None:
    running = await start(serve)
    assert (await names(running, ADA), await names(running, BOB)) == (["front", "desk"], ["front"])
    async with connected(running.address, ADA) as ada, connected(running.address, BOB) as bob:
        for client in (ada, bob):
            await client.send({"agent_type": "liaison", "pillar": "orders", "message": "go"})
        assert (await ada.until_end())["data"]["message"].strip() == "from the desk"
        refused = await bob.until("error")
        await bob.send({"agent_type": "liaison", "pillar": "stars", "message": "go"})
        unknown = await bob.until("error")
    assert (refused["data"]["code"], unknown["data"]["code"]) == ("unknown_pillar", "unknown_pillar")
    assert refused["message"].replace("orders", "stars") == unknown["message"]


@pytest.mark.promise("wire.agent-allowed")
async def test_a_run_is_handed_over_only_to_agents_that_its_user_may_use(serve: Any) -> None:
    running = await start(serve)
    async with connected(running.address, ADA) as ada, connected(running.address, BOB) as bob:
        for client in (ada, bob):
            await client.send({"agent_type": "front", "message": "go"})
            await client.until_end()
    assert "agent_handoff" in {event["type"] for event in ada.seen}
    assert "agent_handoff" not in {event["type"] for event in bob.seen}


@pytest.mark.parametrize("path", ["/ws", "/api/ws/agent?dialect=agent_events"])
async def test_a_server_without_a_guide_answers_on_every_door(serve: Any, path: str) -> None:
    running = await serve(scripted(Say("here")), Agent("other"), builtin_agents=[])
    status, _, answer = await request(running.address, "GET", "/")
    assert status == 200
    async with connected(running.address, path=path) as client:
        for name in (None, "guide", "default_guide"):
            await client.send({"agent_type": name, "message": "go"})
            while (answer := await client.read())["type"] not in ("final_response", "message", "error"):
                pass
            assert (answer["data"] if path == "/ws" else answer)["message"].strip() == "here"
