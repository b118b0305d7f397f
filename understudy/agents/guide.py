"""The guide: the agent that answers users first."""

from collections.abc import Iterable
from typing import Final

from understudy.agents.agent import GUIDE, Agent
from understudy.tools.tool import Tool

_INSTRUCTIONS: Final = (
    "You are the guide of this server: the first agent a user talks to. Answer what you can answer yourself. "
    "When a colleague has better tools for the request, hand it over, and say why in one sentence. "
    "Say plainly when nobody here can do what was asked. Never make up results."
)


def guide(colleagues: Iterable[Agent] = (), tools: Iterable[Tool] = ()) -> Agent:
    """Return the guide, which answers with `tools` and hands over to `colleagues`."""
    return Agent(
        GUIDE,
        _INSTRUCTIONS,
        tools=tuple(tools),
        title="Guide",
        description="Answers short questions and passes larger ones to the colleague who has the tools for them.",
        colleagues=tuple(each.name for each in colleagues),
        starters=("What can you do?", "What is 15% of 80?", "How is the server doing?"),
    )
