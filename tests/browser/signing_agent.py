"""An agent whose user signs in at the MCP server of the variable NOTES_URL, for `sign_in_story.py`."""

import os

from understudy import Agent, mcp
from understudy.models.model import Emit, Reply, TextDelta, ToolRequest, Turn


class SigningModel:
    """Has the user sign in, looks whose notes these are, and answers."""

    name = "signing"
    notice = "A script for tests."

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        """Call the one tool that there is, then the other."""
        names = [tool.name for tool in turn.tools]
        if turn.rounds < 2 and names:
            return Reply(calls=(ToolRequest(f"c{turn.rounds}", names[0], {}),))
        await emit(TextDelta("These are yours."))
        return Reply("These are yours.")


agent = Agent("notes", tools=[mcp(os.environ["NOTES_URL"], name="notes", auth="user")], model=SigningModel())
