"""An agent that only calls one of its tools, for a program that wants the tool and no model."""

from attrs import evolve

from understudy.agents.agent import Agent
from understudy.agents.turn import AgentTurn
from understudy.tools.errors import ToolError


def calling(agent: Agent, name: str) -> Agent:
    """Return the agent with a function in place of its model: it calls the tool with this name, and ends.

    The arguments are the data that the program sent with its message. The call is like one that a model asks for: with
    events, approval, deadline and undo. Its result, or why it failed, is in its `tool_completed`.
    """

    async def call(turn: AgentTurn) -> None:
        try:
            await turn.work.call(name, turn.data)  # its arguments may have any name
        except ToolError as error:
            await turn.say(str(error))

    return evolve(agent, run=call, output_type=None)
