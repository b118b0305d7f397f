"""Agents for `embedded_story.py`: those of `views_agents`, and one whose answer does not end by itself."""

from tests.browser.views_agents import agents as of_views
from understudy import Agent, AgentTurn


async def count(turn: AgentTurn) -> None:
    """Count sheep."""
    for number in range(1, 100_000):
        await turn.say(f"{number} sheep\n\n")


agents = [*of_views, Agent("sheep", title="Sheep", run=count)]
