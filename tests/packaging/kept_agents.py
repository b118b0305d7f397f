"""Agents whose runs leave something of each kind behind, or wait for each kind of answer. They use public names only,
so that an earlier release can serve them."""

import os

import trio
from attrs import frozen

from understudy import Agent, AgentTurn, Budget, ToolContext, tool
from understudy.testing.script import Call, Hand, Raise, Say, ScriptedModel

HELD = "UNDERSTUDY_TEST_HELD"
"""Environment variable with the path of the file that the first call of `hold` makes."""


@frozen
class Place:
    """Where?"""

    city: str


@tool
async def note(context: ToolContext, word: str) -> str:
    """Remember a word."""
    await context.remember("word", word)
    return word


@tool(approval=True)
async def careful() -> str:
    """Do what the user must allow."""
    return "as allowed"


@tool
async def fill(context: ToolContext) -> str:
    """Ask for a form."""
    return f"to {(await context.ask(Place)).city}"


@tool(retry_safe=True)
async def hold() -> str:
    """Hold still, but the first time only."""
    held = trio.Path(os.environ[HELD])
    if not await held.exists():
        await held.touch()
        await trio.sleep_forever()
    return "held"


async def unbook(result: str, arguments: object, context: ToolContext) -> None:
    """Take it back."""


@tool(undo=unbook)
async def book() -> str:
    """Do what can be undone."""
    return "booked"


async def written(turn: AgentTurn) -> None:
    """Work, then answer."""
    await turn.step("work", trio.lowlevel.checkpoint)
    await turn.say("Worked.")


def calling(name: str, *, to: str = "", **arguments: str) -> ScriptedModel:
    return ScriptedModel(Call([(to or name, arguments)]), Say("All done."))


helper = Agent("helper", model=ScriptedModel(Say("I helped.")))
AGENTS = [
    Agent("plain", model=ScriptedModel(Say("All done."))),
    Agent("noting", tools=[note], model=calling("note", word="tea")),
    Agent("careful", tools=[careful], model=calling("careful")),
    Agent("filling", tools=[fill], model=calling("fill")),
    Agent("holding", tools=[hold], model=calling("hold")),
    Agent("booking", tools=[book], model=calling("book")),
    Agent("caller", model=calling("weather", city="Graz")),
    Agent("asking", tools=[helper.as_tool()], model=calling("ask_helper", request="Help")),
    Agent("handing", colleagues=["plain"], model=ScriptedModel(Hand("plain"))),
    Agent("spent", tools=[book], model=calling("book"), budget=Budget(calls=1)),
    Agent("failing", model=ScriptedModel(Raise(RuntimeError("It broke.")))),
    Agent("written", run=written),
]
