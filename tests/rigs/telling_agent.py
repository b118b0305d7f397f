"""An agent that says a message back, a sentence at a time: long answers, in the middle of which servers are stopped."""

import re
from typing import Final

import trio

from understudy import Agent, AgentTurn

TELLER: Final = "tests.rigs.telling_agent:agent"
"""The agent as an option of `understudy serve`."""


def long_text(sentences: int) -> str:
    """Return a text of so many sentences, no two alike."""
    return " ".join(f"Sentence number {n} tells of the thing numbered {n}." for n in range(sentences))


async def tell(turn: AgentTurn) -> None:
    """Say each sentence, and pause for `pause_s` seconds of the message's data after it."""
    for sentence in re.findall(r"[^.]+\.\s*", turn.message):
        await turn.say(sentence)
        await trio.sleep(turn.data.get("pause_s", 0.02))


agent = Agent("teller", run=tell)
