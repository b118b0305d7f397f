"""The agent of a soak: its answer is computed from the message, so that every client can check it.

A message is a plan: `words=40 pace=200 tool=1 fail=0 name=c3-7`. The answer has `words` words, at `pace` words a
second.
`tool=2` is the tool that is not retry-safe: each call is written to the file named by `PLANNED_AGENT_NOTES`.
"""

import os

import trio

from understudy import Agent, ToolContext, tool
from understudy.models.model import Emit, ModelUnavailable, Reply, TextDelta, Thought, ToolRequest, Turn

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
    where = os.open(os.environ["PLANNED_AGENT_NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(where, f"{context.run_id} {context.call_id}\n".encode())
    finally:
        os.close(where)
    await trio.sleep(0.1)
    return f"noted {what}"


class PlannedModel:
    """Calls a tool if planned, then streams the answer."""

    name = "planned"
    notice = ""

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        """Play the plan of the message."""
        content = turn.request
        plan = planned(content)
        if plan["tool"] != "0" and not turn.work:
            await emit(Thought(f"Looking at {plan['name']}"))
            name, given = ("look", "at") if plan["tool"] == "1" else ("note", "what")
            return Reply(calls=(ToolRequest("c", name, {given: plan["name"]}),))
        text = answer_to(content)
        words = text.split(" ")
        at_once = max(1, int(plan["pace"]) // 20)
        for start in range(0, len(words), at_once):
            some = " ".join(words[start : start + at_once])
            await emit(TextDelta(some if start + at_once >= len(words) else some + " "))
            if plan["fail"] == "1" and start:
                raise ModelUnavailable("The teller has lost the thread.")
            await trio.sleep(0.05)
        return Reply(text=text)


AGENTS = [Agent("planned", tools=(look, note), model=PlannedModel())]
