"""An agent whose tool asks its user for an order of fruit."""

from typing import Any, Literal

from attrs import asdict, frozen

from tests.rigs.scripted_model import Call, Say, ScriptedModel
from understudy import Agent, ToolContext, tool
from understudy.tools.errors import QuestionDeclined, QuestionUnanswered

PEARS = {"fruit": "pear", "count": 3}


@frozen
class FruitOrder:
    """What shall be delivered?"""

    fruit: Literal["apple", "pear"]
    count: int
    express: bool = False


@tool(timeout_s=1.0)
async def order(context: ToolContext) -> dict[str, Any]:
    """Order fruit."""
    try:
        return asdict(await context.ask(FruitOrder))
    except QuestionDeclined as declined:
        return {"declined": declined.message}
    except QuestionUnanswered as late:
        return {"late": late.message}


@tool
def order_in_thread(context: ToolContext) -> dict[str, Any]:
    """Order fruit, blocking."""
    return asdict(context.ask_from_thread(FruitOrder, title="Fruit?", text="Today's."))


@tool(asyncio=True)
async def order_on_asyncio(context: ToolContext) -> dict[str, Any]:
    """Order fruit, with asyncio."""
    return asdict(await context.ask(FruitOrder))


def ordering(name: str = "order", timeout_s: float = 30.0) -> Agent:
    """Return an agent that calls one of the tools, and then says that it is done."""
    tools = (order, order_in_thread, order_on_asyncio)
    return Agent("script", tools=tools, model=ScriptedModel(Call([(name, {})]), Say("Done")), timeout_s=timeout_s)
