"""An agent for servers that are killed: its tool never ends on the first server, its model on the second."""

import os
from pathlib import Path

import trio

from tests.rigs.resumable_agent import CALLS
from understudy import Agent, tool
from understudy.models.model import Emit, Reply, TextDelta, ToolRequest, Turn


def begun(what: str) -> int:
    """Note in the file named by `CALLS` that this has begun. Return how often it had before."""
    path = Path(os.environ[CALLS])
    lines = path.read_text().splitlines() if path.exists() else []
    with path.open("a") as file:
        file.write(f"{what}\n")
    return lines.count(what)


@tool(retry_safe=True)
async def hold() -> str:
    """Never end the first time."""
    if not begun("hold"):
        await trio.sleep_forever()
    return "held"


class HeldModel:
    """Calls the tool, then answers; its first answer never ends."""

    name = "held"
    notice = "A script for tests."

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        if not turn.rounds:
            return Reply(calls=(ToolRequest("c", "hold", {}),))
        await emit(TextDelta("This is said. "))
        if not begun("answer"):
            await trio.sleep_forever()
        return Reply("This is said. ")


agent = Agent("held", tools=[hold], model=HeldModel())
