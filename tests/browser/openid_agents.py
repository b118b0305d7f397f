"""An agent for everybody and one for a group, whose answers cost tokens, for `openid_story.py`."""

from understudy import Agent
from understudy.models.model import Emit, Reply, TextDelta, Turn, Usage


class Naming:
    """Says who answers."""

    notice = "A script for tests."

    def __init__(self, name: str) -> None:
        self.name = name

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        """Answer with the name."""
        answer = f"This is the {self.name}."
        await emit(TextDelta(answer))
        return Reply(answer, usage=Usage(40, 2, 1))


front = Agent("front", model=Naming("front"))
desk = Agent("desk", model=Naming("desk"), allow=["group:support"])
