"""The agent of a soak: its answer is computed from the message, so that every client can check it.

A message is a plan: `words=40 pace=200 tool=1 fail=0 name=c3-7`. The answer has `words` words, at `pace` words a
second. The plan of a steer has `steer=1` besides: the answer then ends with the names of the steers that the model was
given. `tool=2` is the tool that is not retry-safe: each call is written to the file named by `PLANNED_AGENT_NOTES`.
`tool=3` pays at a bank, beside that file, which knows each payment by its call; a payment can be asked about and taken
back. `tool=4` asks a form.
"""

import os
from pathlib import Path

import trio
from attrs import frozen

from understudy import Agent, Done, NotDone, ToolContext, tool
from understudy.models.model import (
    CallItem,
    Emit,
    MessageItem,
    ModelUnavailable,
    Reply,
    TextDelta,
    Thought,
    ToolRequest,
    Turn,
)

_WORDS = ("the", "rain", "fell", "🎭", "on", "Straße", "and", "日本", "stayed", "e\u0301tude")


def planned(content: str) -> dict[str, str]:
    """Return the plan in a message."""
    return dict(part.split("=", 1) for part in content.split() if "=" in part)


def answer_to(content: str) -> str:
    """Return the whole answer to a message."""
    plan = planned(content)
    start = len(plan["name"])
    return " ".join(_WORDS[(start + n) % len(_WORDS)] for n in range(int(plan["words"]))) + f" ({plan['name']})"


@tool(retry_safe=True)
async def look(at: str) -> str:
    """Look at something."""
    return f"seen {at}"


@tool
async def note(what: str, context: ToolContext) -> str:
    """Record the call durably, in one write, so that a kill afterwards cannot undo it."""
    record("", f"{context.run_id} {context.call_id}")
    await trio.sleep(0.1)
    return f"noted {what}"


def record(suffix: str, line: str) -> None:
    """Append a line to the file of that suffix, in one write."""
    where = os.open(os.environ["PLANNED_AGENT_NOTES"] + suffix, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(where, f"{line}\n".encode())
    finally:
        os.close(where)


def book(call_id: str, what: str) -> None:
    """Book a payment at the bank, which ignores and reports one that it has already; `what` is `paid` or `undone`."""
    folder = Path(os.environ["PLANNED_AGENT_NOTES"] + ".bank")
    folder.mkdir(exist_ok=True)
    try:
        (folder / f"{call_id}.{what}").touch(exist_ok=False)
    except FileExistsError:
        record(".asked", f"{what} again {call_id}")


def is_paid(call_id: str, arguments: object) -> Done | NotDone:
    """Ask the bank for a payment."""
    if (Path(os.environ["PLANNED_AGENT_NOTES"] + ".bank") / f"{call_id}.paid").exists():
        return Done("paid, says the bank")
    record(".asked", f"not paid {call_id}")
    return NotDone()


async def refund(result: str, arguments: object, context: ToolContext) -> None:
    """Take a payment back."""
    book(context.call_id, "undone")
    await trio.sleep(0.1)


@tool(reconcile=is_paid, undo=refund)
async def pay(what: str, context: ToolContext) -> str:
    """Pay in the middle of the call."""
    await trio.sleep(0.1)
    book(context.call_id, "paid")
    await trio.sleep(0.1)
    return f"paid {what}"


@frozen
class Word:
    """Which word?"""

    word: str


@tool
async def fill(what: str, context: ToolContext) -> str:
    """Ask for a word."""
    return f"filled {(await context.ask(Word)).word}"


class PlannedModel:
    """Calls a tool if planned, then streams the answer."""

    name = "planned"
    notice = ""

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        """Play the plan of the message."""
        messages = [(n, entry.content) for n, entry in enumerate(turn.items) if isinstance(entry, MessageItem)]
        plans = [(n, content) for n, content in messages if turn.items[n].role == "user" and "words=" in content]
        latest, content = next((plan for plan in reversed(plans) if "steer=1" not in plan[1]), plans[-1])
        steers = [planned(arguments)["name"] for n, arguments in plans if n > latest]
        plan = planned(content)
        if plan["tool"] != "0" and not any(isinstance(item, CallItem) for item in turn.items[latest:]):
            await emit(Thought(f"Looking at {plan['name']}"))
            name, arguments = TOOLS[plan["tool"]]
            return Reply(calls=(ToolRequest("c", name, {arguments: plan["name"]}),))
        text = answer_to(content) + (f" read: {','.join(steers)}" if steers else "")
        words = text.split(" ")
        at_once = max(1, int(plan["pace"]) // 20)
        for start in range(0, len(words), at_once):
            some = " ".join(words[start : start + at_once])
            await emit(TextDelta(some if start + at_once >= len(words) else some + " "))
            if plan["fail"] == "1" and start:
                raise ModelUnavailable("The teller has lost the thread.")
            await trio.sleep(0.05)
        return Reply(text=text)


TOOLS = {"1": ("look", "at"), "2": ("note", "what"), "3": ("pay", "what"), "4": ("fill", "what")}
AGENTS = [Agent("planned", tools=(look, note, pay, fill), model=PlannedModel())]
