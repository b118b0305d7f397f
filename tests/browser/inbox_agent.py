"""An agent for `inbox_story.py`: the first word of a message says what it does."""

import os

import trio
from attrs import frozen

from understudy import Agent, ToolContext, tool
from understudy.models.model import Emit, Reply, TextDelta, ToolRequest, Turn

GATE = "UNDERSTUDY_TEST_GATE"
"""Environment variable with the path of a file: `wait` is done when it exists."""


@frozen
class Meeting:
    """When shall we meet?"""

    day: str
    guests: int = 2


@tool(approval=True)
def send_mail(to: str, text: str) -> str:
    """Send a mail."""
    return f"sent to {to}"


@tool
async def meet(context: ToolContext) -> str:
    """Arrange a meeting."""
    return f"on {(await context.ask(Meeting)).day}"


@tool(timeout_s=60.0)
async def wait() -> str:
    """Wait for the gate."""
    while not await trio.Path(os.environ[GATE]).exists():  # noqa: ASYNC110 - another process makes it
        await trio.sleep(0.05)
    return "waited"


CALLS = {
    "Mail": ToolRequest("c1", "send_mail", {"to": "anna@example.org", "text": "The figures are attached."}),
    "Meet": ToolRequest("c1", "meet", {}),
    "Wait": ToolRequest("c1", "wait", {}),
}


class WordModel:
    """Makes the call that the first word of the last message names, then answers."""

    name = "words"
    notice = "A script for tests."

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        """Call, then say that it is done."""
        words = str(getattr(turn.items[-1], "content", "")).split()
        if not turn.rounds and words and words[0] in CALLS:
            return Reply(calls=(CALLS[words[0]],))
        await emit(TextDelta("All done."))
        return Reply("All done.")


agent = Agent("secretary", tools=[send_mail, meet, wait], model=WordModel())
