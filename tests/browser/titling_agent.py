"""An agent for `furniture_story.py` whose model makes titles."""

from understudy import Agent
from understudy.models.model import Emit, Reply, TextDelta, Turn


class TitlingModel:
    """Answers each message alike, and titles each thread alike."""

    name = "titling"
    notice = "A script for tests."
    titles = True

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        """Answer, or make a title."""
        text = '"Sales of last year"' if turn.purpose == "title" else "They grew."
        await emit(TextDelta(text))
        return Reply(text)


agents = [Agent("script", title="Script", description="Answers alike.", model=TitlingModel())]
