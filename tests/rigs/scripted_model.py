"""Agents whose model plays a script, and tools that fail in every way."""

import time

import trio
from attrs import define, field, frozen

from understudy import Agent, ToolContext, ToolError, tool
from understudy.testing import script
from understudy.testing.script import Call as Call
from understudy.testing.script import Gate as Gate
from understudy.testing.script import Hand as Hand
from understudy.testing.script import Raise as Raise
from understudy.testing.script import ScriptedModel as ScriptedModel


@define
class Say(script.Say):
    """A turn that ends in text. A blank follows each word, the last one too."""

    text: str = field(converter=lambda text: f"{text} ")
    gate: Gate | None = None


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


def lingering(over: trio.Event) -> Agent:
    """Return the agent `script`, whose tool cannot be interrupted until `over`."""

    @tool(on_server_loop=True)
    async def linger() -> str:
        """Go on, whatever happens."""
        with trio.CancelScope(shield=True):
            await over.wait()
        return ""

    return Agent("script", model=ScriptedModel(Call([("linger", {})]), Say("done")), tools=[linger])


def scripted(*turns: Say | Call | Hand | Raise, name: str = "script", timeout_s: float | None = None) -> Agent:
    """Return an agent whose model plays these turns, with all tools of this module."""
    return Agent(name, tools=TOOLS, model=ScriptedModel(*turns), timeout_s=timeout_s)


@frozen
class Parcel:
    """The answer of an agent with an output type."""

    carrier: str
