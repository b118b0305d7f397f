"""An agent that pays, and can take payments back."""

from collections import Counter
from typing import Any

from tests.rigs.scripted_model import Call, Say, ScriptedModel
from understudy import Agent, ToolContext, ToolError, tool

BANK: Counter[str] = Counter()
CLOSED: set[int] = set()


async def take_back(result: dict[str, Any], arguments: dict[str, Any], context: ToolContext) -> None:
    """Take a payment back, unless its amount is in `CLOSED`."""
    assert result == {"paid": arguments["amount"]}
    if arguments["amount"] in CLOSED:
        raise ToolError("forbidden", "The bank is closed.")
    BANK[context.call_id] -= 1


@tool(undo=take_back)
async def pay(amount: int, context: ToolContext) -> dict[str, int]:
    """Pay."""
    BANK[context.call_id] += 1
    return {"paid": amount}


def paying(*amounts: int) -> Agent:
    """Return an agent that pays these amounts one after another."""
    calls = [("pay", {"amount": amount}) for amount in amounts]
    return Agent("script", tools=[pay], model=ScriptedModel(*[Call([call]) for call in calls], Say("Done")))
