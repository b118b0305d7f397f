"""An agent for runs that are steered: it works in calls, then speaks slowly, and says which messages it has read.

A message `work 3` calls a tool three times, one turn each. Every turn appends the user's messages that the model was
given to a file, one line of JSON a turn.
"""

import json
import os
from pathlib import Path
from typing import Final

import trio

from understudy import Agent, tool
from understudy.models.model import CallItem, Emit, MessageItem, Reply, TextDelta, ToolRequest, Turn

HEARD: Final = "UNDERSTUDY_TEST_HEARD"
"""Environment variable with the path of the file."""
WORDS: Final = [f"Sentence {number} of the report. " for number in range(1, 21)]


def note(said: list[str]) -> None:
    """Append the messages of a turn to the file named by `HEARD`."""
    if path := os.environ.get(HEARD):
        with Path(path).open("a") as file:
            file.write(json.dumps(said) + "\n")


@tool(retry_safe=True)
async def dig(depth: int) -> str:
    """Work for a moment."""
    await trio.sleep(0.15)
    return f"dug {depth} m"


class SteerableModel:
    """Calls the tool as often as the first message of its run says, then reports."""

    name = "steerable"
    notice = "A script for tests."

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        """Call the tool, or report and name the messages after the first one."""
        contents = [item.content for item in turn.items if isinstance(item, MessageItem) and item.role == "user"]
        note(contents)
        first = max(number for number, text in enumerate(contents) if text.startswith("work") or not number)
        rounds = sum(isinstance(item, CallItem) for item in turn.items)
        words = contents[first].split()
        if len(words) == 2 and rounds < int(words[1]):
            return Reply(calls=(ToolRequest(f"c{rounds}", "dig", {"depth": rounds}),))
        steers = contents[first + 1 :]
        pieces = WORDS if not steers else []
        for piece in [*pieces, f"Read: {', '.join(steers) or 'nothing'}."]:
            await emit(TextDelta(piece))
            await trio.sleep(0.03)
        return Reply("".join([*pieces, f"Read: {', '.join(steers) or 'nothing'}."]))


agent = Agent("steerable", tools=[dig], model=SteerableModel())
