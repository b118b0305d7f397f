"""Code of an agent's author that ends programs: it ends its own run, and the server goes on."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.rigs.chat_client import connected
from tests.rigs.scripted_model import Gate, Say, scripted
from understudy import Agent
from understudy.agents.turn import AgentTurn
from understudy.models.model import Emit, Reply, Turn


def leave() -> None:
    raise SystemExit(2)


class Leaving:
    name = "leaving"
    notice = "A script for tests."

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        leave()
        return Reply("")


async def answer(turn: AgentTurn) -> None:
    leave()


async def answer_on_asyncio(turn: AgentTurn) -> None:
    import asyncio

    await asyncio.sleep(0)
    leave()


AGENTS: dict[str, Callable[[], Agent]] = {
    "model": lambda: Agent("leaving", model=Leaving()),
    "hand-written": lambda: Agent("leaving", run=answer),
    "on asyncio": lambda: Agent("leaving", run=answer_on_asyncio),
}


@pytest.mark.parametrize("kind", AGENTS)
async def test_an_agent_that_leaves_ends_its_own_run(serve: Any, kind: str) -> None:
    gate = Gate()
    running = await serve(AGENTS[kind](), scripted(Say("one two", gate)))
    async with connected(running.address) as client, connected(running.address) as other:
        await other.say("go", agent_type="script", thread_id="o")
        await gate.reached.wait()
        ended = await client.ask("go", agent_type="leaving", thread_id="t", until="error")
        assert ended["data"]["code"] == "agent_failed"
        gate.opened.set()
        assert (await other.until("final_response"))["data"]["message"] == "one two "
