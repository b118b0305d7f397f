"""An agent for everybody that hands over to one for a group."""

from typing import Any

from tests.rigs.scripted_model import Hand, Say, ScriptedModel
from tests.rigs.tokens import SECRET, token
from understudy import Agent
from understudy.app.server import Running

ADA = token("ada", groups=["support"])
BOB = token("bob", groups="support", roles=["clerk"])
"""A user of no group: the claim is no list."""


def agents() -> tuple[Agent, Agent]:
    """Return an agent for everybody, which hands over to one for the group support."""
    desk = Agent("desk", model=ScriptedModel(Say("from the desk")), pillar="orders", allow=["group:support"])
    front = Agent("front", model=ScriptedModel(Hand("desk"), Say("from the front")), colleagues=["desk"])
    return front, desk


async def start(serve: Any) -> Running:
    """Start a server with both agents and no others."""
    running: Running = await serve(*agents(), builtin_agents=[], secret=SECRET)
    return running
