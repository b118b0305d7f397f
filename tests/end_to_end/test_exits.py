"""Code of a tool's or agent's author that ends programs: it ends its own call or run, and the server goes on."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.end_to_end.chat_client import check_arc, connected
from tests.end_to_end.scripted_model import Call, Gate, Say, scripted
from understudy import Agent, tool
from understudy.agents.turn import AgentTurn
from understudy.models.model import Emit, Reply, Turn


def leave() -> None:
    raise SystemExit(2)


@tool(retry_safe=True)
def convert() -> str:
    """Leave, as `argparse` does for wrong arguments."""
    leave()
    return ""


class Leaving:
    """A model whose code leaves."""

    name = "leaving"
    notice = "A script for tests."

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        """Leave."""
        leave()
        return Reply("")


async def answer(turn: AgentTurn) -> None:
    """Leave, as a hand-written agent."""
    leave()


async def answer_on_asyncio(turn: AgentTurn) -> None:
    """Leave, on asyncio."""
    import asyncio

    await asyncio.sleep(0)
    leave()


AGENTS: dict[str, Callable[[], Agent]] = {
    "model": lambda: Agent("leaving", model=Leaving()),
    "hand-written": lambda: Agent("leaving", run=answer),
    "on asyncio": lambda: Agent("leaving", run=answer_on_asyncio),
}


async def test_a_tool_that_leaves_is_a_failed_call(serve: Any) -> None:
    leaving = Agent("leaving", tools=[convert], model=scripted(Call([("convert", {})]), Say("It failed.")).model)
    running = await serve(leaving)
    async with connected(running.address) as client:
        await client.say("go", agent_type="leaving", thread_id="t")
        await client.until("final_response")
        events = client.durable()
    check_arc(events)
    (call,) = [each["data"] for each in events if each["type"] == "tool_completed"]
    assert call["status"] == "failed"
    assert "SystemExit" not in str(call)


@pytest.mark.parametrize("kind", AGENTS)
async def test_an_agent_that_leaves_ends_its_own_run(serve: Any, kind: str) -> None:
    gate = Gate()
    running = await serve(AGENTS[kind](), scripted(Say("one two", gate)))
    async with connected(running.address) as client, connected(running.address) as other:
        await other.say("go", agent_type="script", thread_id="o")
        await gate.reached.wait()
        await client.say("go", agent_type="leaving", thread_id="t")
        ended = await client.until("error")
        assert ended["data"]["code"] == "agent_failed"
        gate.opened.set()
        assert (await other.until("final_response"))["data"]["message"] == "one two "
