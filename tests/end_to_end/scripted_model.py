"""A model that plays a script turn by turn, and tools that fail in every way."""

import time
from collections.abc import Sequence

import trio
from attrs import define, field

from transport.wire.events import Usage
from understudy import Agent, ToolContext, ToolError, tool
from understudy.models.model import Emit, Handoff, Reply, TextDelta, Thought, ToolRequest, Turn


@define
class Say:
    """A turn that ends in text, streamed word by word. If there is a `gate`, it is passed before each word."""

    text: str
    gate: "Gate | None" = None


@define
class Call:
    """A turn that calls tools."""

    tools: Sequence[tuple[str, dict[str, object]]]


@define
class Hand:
    """A turn that hands the run over to another agent."""

    to: str


@define
class Raise:
    """A turn in which the model raises."""

    error: Exception


@define
class Gate:
    """Lets as many waiters through as a test allows, and signals the test when somebody waits."""

    reached: trio.Event = field(factory=trio.Event)
    opened: trio.Event = field(factory=trio.Event)
    open_after: int = 0

    async def passed(self) -> None:
        """Wait until the test opens the gate, once its free passes are used up."""
        if self.open_after > 0:
            self.open_after -= 1
            return
        self.reached.set()
        await self.opened.wait()


class ScriptedModel:
    """Plays its turns in order, the same for every message."""

    name = "script"
    notice = "A script for tests."

    def __init__(self, *turns: Say | Call | Hand | Raise) -> None:
        self.turns = turns

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        """Play the turn after those already in the messages."""
        played = turn.rounds
        step = self.turns[min(played, len(self.turns) - 1)]
        match step:
            case Raise(error):
                raise error
            case Hand(to):
                return Reply(handoff=Handoff(to, "the script says so"))
            case Call(tools):
                await emit(Thought(f"Calling {', '.join(name for name, _ in tools)}"))
                return Reply(calls=tuple(ToolRequest(f"c{n}", name, args) for n, (name, args) in enumerate(tools)))
            case Say(text, gate):
                for word in text.split(" "):
                    if gate is not None:
                        await gate.passed()
                    await emit(TextDelta(word + " "))
                return Reply(text=text + " ", usage=Usage(1, len(text.split()), 1))


@tool
async def echo(text: str) -> str:
    """Give the text back."""
    return text


@tool
async def refuse() -> str:
    """Fail with a sentence for the user."""
    raise ToolError("tool_failed", "The oven is cold.")


@tool
async def crash() -> str:
    """Break."""
    raise RuntimeError("secret-detail-of-the-code")


@tool(timeout_s=0.2)
async def hang() -> str:
    """Never end."""
    await trio.sleep_forever()
    return ""


@tool(timeout_s=0.2)
def block() -> str:
    """Hold a thread for longer than allowed."""
    time.sleep(1.0)
    return ""


@tool(timeout_s=60)
async def wait() -> str:
    """Wait until somebody stops it."""
    await trio.sleep_forever()
    return ""


@tool
async def tell_progress(steps: int, context: ToolContext) -> int:
    """Tell how far it is."""
    for step in range(steps):
        context.progress(step + 1, steps, f"step {step + 1}")
        await trio.lowlevel.checkpoint()
    return steps


@tool(approval=True)
async def send_mail(to: str, text: str = "") -> str:
    """Send a mail, with the user's consent."""
    return f"sent to {to}"


@tool(approval=lambda arguments: arguments["amount"] > 100)
async def pay(amount: float) -> float:
    """Pay; with the user's consent when it is much."""
    return amount


@tool(approval=True, timeout_s=0.2)
async def hang_with_consent() -> str:
    """Never end, once it was allowed."""
    await trio.sleep_forever()
    return ""


@tool(approval=lambda arguments: 1 / 0)
async def undecided() -> str:
    """Break when asked whether it needs consent."""
    return "never"


TOOLS = (echo, refuse, crash, hang, block, wait, tell_progress, send_mail, pay, hang_with_consent, undecided)


def scripted(*turns: Say | Call | Hand | Raise, name: str = "script", timeout_s: float | None = None) -> Agent:
    """Return an agent that plays these turns and has all tools of this module."""
    return Agent(name, tools=TOOLS, model=ScriptedModel(*turns), timeout_s=timeout_s)
