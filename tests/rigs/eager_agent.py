"""An agent that calls a tool as long as its budget lets it."""

from typing import Any

from attrs import define, field

from tests.rigs.scripted_model import echo, wait
from understudy import Agent, Budget
from understudy.models.model import Emit, Reply, TextDelta, ToolRequest, Turn
from understudy.wire.events import Usage


@define
class Eager:
    """A model that calls a tool as long as it has one, and then answers. `turns` are those that it was asked."""

    name: str = "eager"
    notice: str = ""
    calls: int = 1
    tool: str = "echo"
    same: bool = False
    last: str = "as far as I got"
    turns: list[Turn] = field(factory=list)

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        self.turns.append(turn)
        if not turn.tools:
            await emit(TextDelta(self.last))
            return Reply(self.last, usage=Usage(10, 5, 1))
        number = 0 if self.same else len(self.turns)
        arguments = {"text": f"{number}"} if self.tool == "echo" else {}
        calls = tuple(ToolRequest(f"c{at}", self.tool, arguments) for at in range(self.calls))
        return Reply(calls=calls, usage=Usage(10, 5, 1))


def agent(model: Any, **budget: Any) -> Agent:
    """Return the agent `script` with a model and a budget."""
    return Agent("script", tools=[echo, wait], model=model, budget=Budget(**budget))
