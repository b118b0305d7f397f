"""An agent that writes a given document at a given speed.

A message to it is `NAME RATE`: the document, and characters a second. `benchmarks.page.typist:typist` is the agent.
"""

from __future__ import annotations

from typing import Final

import trio

from benchmarks.page.documents import PIECE_S, asked
from understudy import Agent, Model, Reply, Turn
from understudy.models.model import Emit, MessageItem, TextDelta


class Typist:
    """The model: writes `DOCUMENTS[name][:length]` for a message `NAME RATE [LENGTH]`."""

    name = "typist"
    notice = "A typist, for figures and tests."

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        """Write the document that the last message names."""
        said = [item.content for item in turn.items if isinstance(item, MessageItem) and item.role == "user"][-1]
        text, rate = asked(said)
        began, at = trio.current_time(), 0
        while at < len(text):
            due = min(len(text), int((trio.current_time() - began) * rate) + 1)
            if due > at:
                await emit(TextDelta(text[at:due]))
                at = due
            await trio.sleep(PIECE_S)
        return Reply(text)


_model: Final[Model] = Typist()
typist: Final = Agent("typist", title="Typist", model=_model, timeout_s=300)
