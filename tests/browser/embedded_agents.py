"""Agents for `embedded_story.py`: those of `views_agents`, one whose answer does not end, and one that draws."""

import itertools
from typing import Final

import trio

from tests.browser.making_agents import LINE
from tests.browser.views_agents import agents as of_views
from understudy import Agent, AgentTurn

PACE_S: Final = 0.05
"""From one sheep to the next. Without a pace a thousand come a second, more than a page can draw and still be used."""


async def count(turn: AgentTurn) -> None:
    """Count sheep until the run is stopped."""
    for number in itertools.count(1):
        await turn.say(f"{number} sheep\n\n")
        await trio.sleep(PACE_S)


async def draw(turn: AgentTurn) -> None:
    """Draw a chart."""
    await turn.visualize({"title": "Sales by month", "spec": LINE})


agents = [*of_views, Agent("sheep", title="Sheep", run=count), Agent("drawer", run=draw)]
