"""Agents for `embedded_story.py`: those of `views_agents`, one whose answer does not end, and one that draws."""

from tests.browser.making_agents import LINE
from tests.browser.views_agents import agents as of_views
from understudy import Agent, AgentTurn


async def count(turn: AgentTurn) -> None:
    """Count sheep."""
    for number in range(1, 100_000):
        await turn.say(f"{number} sheep\n\n")


async def draw(turn: AgentTurn) -> None:
    """Draw a chart."""
    await turn.visualize({"title": "Sales by month", "spec": LINE})


agents = [*of_views, Agent("sheep", title="Sheep", run=count), Agent("drawer", run=draw)]
