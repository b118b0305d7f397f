"""Our agent that plays the script."""

from __future__ import annotations

import trio

from actors import sleep
from benchmarks.chat.peers import script
from understudy import Agent, tool
from understudy.models.model import Emit, Reply, TextDelta, ToolRequest, Turn


@tool
async def percentage(share: float, whole: float) -> float:
    """Return so many percent of a number."""
    return script.percentage(share, whole)


class Script:
    """Streams the pieces, or calls the tool and tells its result."""

    name = "script"
    notice = ""

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        """Play the next turn."""
        if turn.request == script.TOOL:
            if not turn.rounds:
                return Reply(calls=(ToolRequest("call", "percentage", {"share": 15, "whole": 80}),))
            await emit(TextDelta(script.ANSWER))
            return Reply(text=script.ANSWER)
        if turn.request == script.FAST:
            return await self._fast(emit)
        for number, piece in enumerate(script.PIECES):
            if number:
                await sleep(script.PIECE_S)  # of one timer for all: a pause is the model's, and is not to cost anything
            await emit(TextDelta(piece))
        return Reply(text="".join(script.PIECES))

    async def _fast(self, emit: Emit) -> Reply:
        """Write as a fast model does: each piece when it is due, those that are late at once."""
        began = trio.current_time()
        for number, piece in enumerate(script.FAST_PIECES):
            if (left_s := began + number * script.FAST_PIECE_S - trio.current_time()) > 0:
                await trio.sleep(left_s)
            await emit(TextDelta(piece))
        return Reply(text="".join(script.FAST_PIECES))


AGENTS = [Agent("script", model=Script(), tools=[percentage])]
