"""Agents for servers that are killed in a gap: each holds still there the first time, and goes on the next time."""

import os
from pathlib import Path
from typing import Final

import trio
from attrs import frozen

from tests.rigs.resumable_agent import CALLS
from understudy import Agent, AgentTurn, Budget, tool
from understudy.chat.run import call
from understudy.models.model import Emit, ModelLimits, NoteItem, Reply, TextDelta, Turn
from understudy.testing import Call, Hand, Say, ScriptedModel

call.START_S = 60.0  # type: ignore[misc]  # the start of a call that is only gathered is not stored before the kill


async def hold(name: str, *, at: tuple[int, ...] = (1,)) -> None:
    """Note the name in the file named by `CALLS`; hold still if it is for such a time, counted from 1."""
    if noted(name) in at:
        await trio.sleep_forever()


def noted(name: str) -> int:
    """Note a name. Return how often it was noted."""
    path = Path(os.environ[CALLS])
    with path.open("a") as file:
        file.write(f"{name}\n")
    return path.read_text().splitlines().count(name)


class Holding(ScriptedModel):
    """Holds still before the turn of that number, and before a title."""

    def __init__(self, *turns: Say | Call | Hand, at: int = -1) -> None:
        super().__init__(*turns)
        self.at, self.titles = at, at < 0

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        """Play the turn."""
        if turn.purpose == "title" or turn.rounds == self.at:
            await hold(turn.purpose)
        return await super().respond(turn, emit)


class Cut:
    """A model that holds still in mid-text the first two times: its run is stopped, and continued."""

    name = notice = "cut"

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        """Say three words."""
        if not turn.partial_text:
            await emit(TextDelta("One two. "))
        await hold("text", at=(1, 2))
        await emit(TextDelta("Three."))
        return Reply("Three." if turn.partial_text else "One two. Three.")


class Forgetful:
    """A model with a small window that holds still in its first summary, and says which summary it was given."""

    name = notice = "forgetful"
    limits = ModelLimits(window_tokens=4_500, max_output=500)

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        """Say a lot, or sum it up."""
        if turn.purpose == "summary":
            await hold("summary")
            return Reply("It was long.")
        knows = any(isinstance(item, NoteItem) and "It was long." in item.content for item in turn.items)
        text = "Summarised." if knows else "word " * 300
        await emit(TextDelta(text))
        return Reply(text)


@tool(retry_safe=True)
async def quick() -> str:
    """Work, and know nothing of the call."""
    await hold("quick")
    return "done quickly"


@tool(retry_safe=True)
async def twice() -> str:
    """Work, and hold still the second time."""
    await hold("twice", at=(2,))
    return "done"


@tool(retry_safe=True, approval=True)
async def careful() -> str:
    """Work once the user has allowed it."""
    await hold("careful")
    return "done as allowed"


@frozen
class Place:
    """Where?"""

    city: str


async def ask(turn: AgentTurn) -> None:
    """Ask the user, then work."""
    place = await turn.ask(Place)
    await turn.step("work", hold, "work")
    await turn.say(f"To {place.city}.")


AGENTS: Final = [
    Agent("gathered", tools=[quick], model=ScriptedModel(Call([("quick", {})]), Say("All done."))),
    Agent("allowed", tools=[careful], model=ScriptedModel(Call([("careful", {})]), Say("All done."))),
    Agent("handing", colleagues=["heir"], model=ScriptedModel(Hand("heir"))),
    Agent("heir", model=Holding(Say("All done."), at=0)),
    Agent("asking", run=ask),
    Agent("spent", tools=[twice], model=Holding(Call([("twice", {})]), Say("All done."), at=1), budget=Budget(calls=1)),
    Agent("forked", tools=[twice], model=ScriptedModel(Call([("twice", {})]), Say("All done."))),
    Agent("cut", model=Cut()),
    Agent("forgetful", model=Forgetful()),
    Agent("titled", model=Holding(Say("All done."))),
]
