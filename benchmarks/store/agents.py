"""An agent whose answers cost nothing and come at a pace that the message says."""

from __future__ import annotations

import trio

from understudy import Agent
from understudy.models.model import Emit, Reply, TextDelta, Thought, Turn


class Clockwork:
    """Thinks so many times, then says so many words, so many a second: `thoughts=50 words=20 pace=10`.

    Each thought is a durable event.
    """

    name = "clockwork"
    notice = ""

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        """Play the plan of the message."""
        content = turn.request
        plan = dict(part.split("=", 1) for part in content.split() if "=" in part)
        pause_s = 1 / float(plan["pace"])
        for number in range(int(plan["thoughts"])):
            await emit(Thought(f"Thought {number}"))
            await trio.sleep(pause_s)
        words = [f"word-{number} " for number in range(int(plan["words"]))]
        for word in words:
            await emit(TextDelta(word))
            await trio.sleep(pause_s)
        return Reply(text="".join(words))


AGENTS = [Agent("clockwork", model=Clockwork(), timeout_s=600)]
