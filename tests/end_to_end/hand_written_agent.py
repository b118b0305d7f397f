"""Agents for servers that are killed: one takes three slow steps, and notes each in a file; one asks it as a tool."""

import os
from pathlib import Path

import trio

from tests.rigs.resumable_agent import CALLS, again
from understudy import Agent, AgentTurn
from understudy.testing import Call, Say, ScriptedModel


def note(line: str) -> None:
    with Path(os.environ[CALLS]).open("a") as file:
        file.write(f"{line}\n")


async def work(turn: AgentTurn) -> None:
    """Take three steps, and call a tool."""

    async def take(name: str) -> str:
        note(f"{name} {turn.step_id}")
        await trio.sleep(0.4)
        return f"{name} is done"

    await turn.say("I begin. ")
    steps = [await turn.step("one", take, "one")]
    await turn.think("between")
    await trio.sleep(0.3)
    steps.append(await turn.step("two", take, "two"))
    steps.append(await turn.call("again"))
    await turn.think("in the third")
    steps.append(await turn.step("three", take, "three"))
    await turn.say(", ".join(steps))


agent = Agent("writer", tools=[again], run=work)
asking = ScriptedModel(Call([("ask_writer", {"request": "Write."})]), Say("All done."))
boss = Agent("boss", tools=[agent.as_tool()], model=asking)
