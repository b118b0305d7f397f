"""An agent for servers that are killed: slow steps chosen by the message, and tools that log each call to a file.

A message is a list of words: `once`, `again`, `ask` and `fill` call the tool of that name, one turn each; then the
agent answers with a long text. The last word says how an interrupted answer is resumed: `over` from the beginning,
`tail` from a little before the interruption, `other` with another text; any other word resumes where the text stopped.
"""

import os
from pathlib import Path
from typing import Final

import trio
from attrs import frozen

from understudy import Agent, Done, NotDone, Secret, ToolContext, tool
from understudy.models.model import Emit, Reply, TextDelta, Thought, ToolRequest, Turn

SPOKEN: Final = " ".join(f"This is sentence number {number} of it, and it says so." for number in range(1, 13))
OTHER: Final = SPOKEN[:120] + "but here it is another text. " * 3
CALLS: Final = "UNDERSTUDY_TEST_CALLS"
"""Environment variable with the path of the file in which the start of each call is recorded."""
HOLD: Final = "hold"
"""Name of a file beside that of the calls: calls of `again` do not end while it is there."""
PACE_S: Final = 0.012
UNDO_S: Final = 0.6


def note(name: str, context: ToolContext) -> int:
    """Append the start of a call to the file named by `CALLS`. Return the size of that before."""
    if path := os.environ.get(CALLS):
        with Path(path).open("a") as file:
            size = file.tell()
            file.write(f"{name} {context.call_id}\n")
            return size
    return 0


@tool
async def once(context: ToolContext) -> str:
    """Do what must not be done twice."""
    note("once", context)
    await trio.sleep(0.4)
    return "done once"


@tool(retry_safe=True)
async def again(context: ToolContext) -> str:
    """Do what may be done twice."""
    note("again", context)
    await trio.sleep(0.4)
    if path := os.environ.get(CALLS):
        while Path(path).with_name(HOLD).exists():  # noqa: ASYNC110 - the test is another process
            await trio.sleep(0.01)
    return "done again"


@tool(approval=True, retry_safe=True)
async def ask(context: ToolContext, what: str = "") -> str:
    """Do what the user must allow."""
    note("ask", context)
    return f"done as allowed{what}"


@frozen
class Destination:
    """Where to?"""

    city: str


@tool
async def fill(context: ToolContext) -> str:
    """Do once what the user's form says."""
    destination = await context.ask(Destination)
    note("fill", context)
    return f"to {destination.city}"


@frozen
class Signature:
    """Who signs?"""

    name: str
    pin: Secret


@tool(retry_safe=True)
async def sign(context: ToolContext) -> str:
    """Do what needs a secret; hang the first time."""
    signature = await context.ask(Signature)
    if note("sign", context) == 0:
        await trio.sleep_forever()
    return f"{signature.name} signed with {len(signature.pin)} characters"


def noted(call_id: str, arguments: object) -> Done | NotDone:
    """Say whether a call was made: its line is there."""
    lines = Path(os.environ[CALLS]).read_text().splitlines()
    return Done("as noted") if any(line.split()[1] == call_id for line in lines) else NotDone()


@tool(reconcile=noted)
async def early(context: ToolContext) -> str:
    """Take effect, then take time."""
    note("early", context)
    await trio.sleep(1.0)
    return "done early"


@tool(reconcile=noted)
async def late(context: ToolContext) -> str:
    """Take time, then take effect."""
    await trio.sleep(1.0)
    note("late", context)
    return "done late"


async def unbook(result: str, arguments: object, context: ToolContext) -> None:
    """Take a booking back."""
    note("unbook", context)
    await trio.sleep(UNDO_S)


@tool(undo=unbook)
async def book(context: ToolContext) -> str:
    """Do what can be undone."""
    note("book", context)
    return "booked"


class ResumableModel:
    """Plays the steps named in the message."""

    name = "resumable"
    notice = "A script for tests."

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        """Request the next tool call, or stream the answer."""
        words = turn.request.split()
        tools = [
            word for word in words if word in ("once", "again", "ask", "fill", "book", "early", "late", "sign", "twice")
        ]
        played = turn.rounds
        if played < len(tools):
            await emit(Thought(f"next is {tools[played]}"))
            if tools[played] == "twice":
                return Reply(calls=(ToolRequest("c", "again", {}),) * 2)
            return Reply(calls=(ToolRequest(f"c{played}", tools[played], {}),))
        text = wording(words[-1], turn.partial_text)
        for start in range(0, len(text), 6):
            await emit(TextDelta(text[start : start + 6]))
            await trio.sleep(PACE_S)
        return Reply(text)


def wording(manner: str, begun: str) -> str:
    """Return the text of a turn of which `begun` was already streamed."""
    if manner == "other" and begun:
        return OTHER
    whole = SPOKEN if not begun.startswith(OTHER[:150]) else OTHER
    rest = whole.removeprefix(begun)
    if not begun or manner == "over" or rest == whole:
        return whole
    return begun[-20:] + rest if manner == "tail" else rest


agent = Agent("resumable", tools=[once, again, ask, fill, book, early, late, sign], model=ResumableModel())
