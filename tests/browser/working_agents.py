"""Agents for `long_runs_story.py`: steered, undone, killed, with 60 calls, with a subagent.

What must not end before the story says so waits for a file, a gate, in the folder of `GATES`.
"""

import os
from pathlib import Path
from typing import Final

import trio

from understudy import Agent, AgentTurn, Budget, ToolContext, ToolError, tool
from understudy.extensions.remote.remote import Remote
from understudy.models.model import CallItem, Emit, MessageItem, ModelUnavailable, Reply, TextDelta, ToolRequest, Turn

GATES: Final = "STORY_GATES"
"""Environment variable with the folder of the gates."""


def opened(name: str) -> bool:
    """Return whether the story has opened a gate."""
    return (Path(os.environ[GATES]) / name).exists()


async def gate(name: str) -> None:
    """Wait until the story has opened a gate."""
    while not opened(name):  # noqa: ASYNC110 - another process opens it
        await trio.sleep(0.02)


@tool
async def count_pots(colour: str) -> str:
    """Count the pots of a colour."""
    await gate("counted")
    return f"17 {colour} pots"


class SteeredModel:
    """Counts pots, then speaks until it is interrupted, then names the messages that it was sent meanwhile."""

    name = "steered"
    notice = "A script for tests."

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        """Call the tool; report without an end; answer the interruption."""
        said = [item.content for item in turn.items if isinstance(item, MessageItem) and item.role == "user"]
        if not any(isinstance(item, CallItem) for item in turn.items):
            return Reply(calls=(ToolRequest("c0", "count_pots", {"colour": "red"}, "Count the red pots"),))
        if len(said) < 3:
            await emit(TextDelta("There are 17 red pots, of which a few are cracked. "))
            await trio.sleep_forever()
        text = f"You also wrote: {'; '.join(said[1:])}."
        await emit(TextDelta(text))
        return Reply(text)


async def refund(result: str, arguments: dict[str, int]) -> None:
    """Take a payment back, unless the bank is closed for it."""
    if arguments["amount"] == 13 and not opened("bank"):
        raise ToolError("forbidden", "The bank is closed until Monday.")


@tool(undo=refund, undo_s=900)
async def pay(amount: int) -> str:
    """Pay an amount."""
    return f"{amount} € paid"


@tool(undo=refund, undo_s=4)
async def lend(amount: int) -> str:
    """Lend an amount for a moment."""
    return f"{amount} € lent"


async def bank(turn: AgentTurn) -> None:
    """Pay the amounts of the message, or lend one."""
    verb, *amounts = turn.message.split()
    for amount in amounts:
        await turn.call(verb.lower(), amount=int(amount))
    await turn.say("All is paid.")


@tool
async def send_parcel(city: str) -> str:
    """Send a parcel."""
    # It is on its way until the server is killed.
    (Path(os.environ[GATES]) / "sending").touch()
    await trio.sleep_forever()
    return city


async def courier(turn: AgentTurn) -> None:
    """Send a parcel."""
    await turn.call("send_parcel", city="Bonn")
    await turn.say("The parcel is on its way.")


@tool(retry_safe=True)
async def check_shelf(shelf: int) -> dict[str, int]:
    """Check a shelf."""
    if shelf in (1, 41):
        await gate(f"shelf-{shelf}")
    if shelf == 23:
        raise ToolError("not_found", "There is no shelf 23.")
    await trio.sleep(0.03)
    return {"shelf": shelf, "items": shelf * 7 % 40}


async def stocktaking(turn: AgentTurn) -> None:
    """Check 60 shelves, with a thought now and then."""
    for shelf in range(60):
        if shelf % 20 == 0:
            await turn.think(f"Shelves {shelf} to {shelf + 19} are next")
        try:
            await turn.call("check_shelf", shelf=shelf)
        except ToolError as error:
            await turn.think(error.message)
        turn.progress(shelf + 1, 60, "Taking stock")
    for paragraph in range(6):
        await turn.say(f"{paragraph + 1}. Ten shelves were counted, and *nothing* is missing from them.\n\n")


@tool
async def look_up(word: str, context: ToolContext) -> str:
    """Look a word up."""
    if word == "unicorn":
        raise ToolError("not_found", "Nothing is known about unicorns.")
    await gate("looked-up")
    return f"{word}: a large plant"


async def research(turn: AgentTurn) -> None:
    """Look the request up in two steps."""
    await turn.think("I need the encyclopedia")
    found = await turn.call("look_up", word=turn.message)
    await turn.think("That will do")
    await turn.say(str(found))


researcher = Agent("research", title="Research", tools=[look_up], run=research)


async def write(turn: AgentTurn) -> None:
    """Ask the researcher."""
    try:
        await turn.say(f"I was told: {await turn.call('ask_research', request=turn.message)}")
    except ToolError as error:
        await turn.say(f"That failed: {error.message}")


class CutModel:
    """Loses its connection in the middle of its answer, and goes on after that."""

    name = "cut"
    notice = "A script for tests."

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        """Write a half, or the other one, slowly enough to be seen."""
        rest = (
            "The **second half** follows without a gap."
            if turn.partial_text
            else "The *first half* ends in the middle of "
        )
        for word in rest.split(" "):
            await emit(TextDelta(f"{word} "))
            await trio.sleep(0.05)
        if not turn.partial_text:
            raise ModelUnavailable("The connection to the language model was lost.", True, "lost")
        return Reply(rest)


agents = [
    Agent("gardener", tools=[count_pots], model=SteeredModel()),
    Agent("bank", tools=[pay, lend], run=bank),
    Agent("courier", tools=[send_parcel], run=courier),
    Agent("stock", tools=[check_shelf], run=stocktaking, budget=Budget(calls=100)),
    Agent("writer", tools=[researcher.as_tool()], run=write),
    Agent("halting", model=CutModel()),
    Agent("abroad", remote=Remote("http://127.0.0.1:9/agent")),  # where no server is
]
gardener, banker, carrier, taker, author, halting, abroad = agents
