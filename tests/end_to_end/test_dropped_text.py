"""A model takes back text that was reasoning: every client shows the answer alone, also after the server was killed."""

from typing import Any

import pytest
import trio

from tests.rigs.actor_kinds import KINDS, find
from tests.rigs.answer_view import AnswerView
from tests.rigs.chat_client import check_arc, connected
from understudy import Agent, Reply, Turn, tool
from understudy.models.model import Emit, ReasoningDelta, TextDelta, TextDropped, ToolRequest

THOUGHT = "Let me see. Two and two, that is "


class Thinker:
    """Writes its reasoning as text, takes it back, and answers; first it calls a tool with a text of its own."""

    name = "thinker"
    notice = "A script for tests."

    def __init__(self) -> None:
        self.written, self.go_on = trio.Event(), trio.Event()

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        if not turn.rounds:
            await emit(TextDelta("I look. "))
            return Reply("I look. ", (ToolRequest("c", "look", {}),))
        await emit(TextDelta(THOUGHT))
        self.written.set()
        await self.go_on.wait()
        await emit(TextDropped())
        await emit(ReasoningDelta(THOUGHT))
        for piece in ("Fo", "ur."):
            await emit(TextDelta(piece))
        return Reply("Four.", reasoning=THOUGHT)


@tool
async def look() -> str:
    """Look."""
    return "seen"


@pytest.mark.parametrize("killed", [False, True])
async def test_the_answer_is_what_follows(serve: Any, killed: bool) -> None:
    model = Thinker()
    running = await serve(Agent("thinker", tools=[look], model=model))
    async with connected(running.address) as client:
        await client.say("2 + 2?", agent_type="thinker", thread_id="t")
        await model.written.wait()
        if killed:
            (run,) = find(running, KINDS["run"])
            run.kill()
        model.go_on.set()
        final = await client.until("final_response")
    check_arc(client.durable())
    assert final["data"]["message"] == "I look. \n\nFour."
    assert AnswerView().shows(*client.seen).text == "I look. \n\nFour."
