"""The agent `story`: tells a long answer, sentence by sentence, in the middle of which its server may be stopped."""

import re
from importlib.resources import files
from typing import Final

import trio

from understudy.agents.agent import Agent
from understudy.agents.builtin import HOUSEHOLD
from understudy.agents.turn import AgentTurn

PAUSE_S: Final = 0.2
"""Seconds between two pieces: the story takes some 15 seconds, in which a person can find the terminal."""


async def tell(turn: AgentTurn) -> None:
    """Say the story piece by piece. A run that is resumed says only what was not said before."""
    text = files("understudy.agents").joinpath("story.txt").read_text(encoding="utf-8")
    await turn.think("I tell a story. You may stop my server at any word of it.")
    for piece in re.findall(r"[^;.?]+[;.?]?\s*", text):
        await turn.say(piece.replace("\n", "\n\n"))
        await trio.sleep(PAUSE_S)


STORY: Final = Agent(
    "story",
    title="Story",
    description="Tells a story of fifteen seconds: stop the server meanwhile, start it again, and it goes on.",
    starters=("Tell me the story of the understudy",),
    run=tell,
    memory=HOUSEHOLD,
)
