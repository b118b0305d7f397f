"""An agent that only calls one of its tools, for a form, a next step, or a program that wants the tool and no model."""

from attrs import evolve

from understudy.agents.agent import Agent
from understudy.agents.turn import AgentTurn
from understudy.tools.errors import ToolError
from understudy.tools.markdown import answer_of
from understudy.tools.offers import with_table


def calling(agent: Agent, name: str, *, says: bool = True) -> Agent:
    """Return the agent with a function in place of its model: it calls the tool with this name, and `says` the result.

    The arguments are the data that came with the message; a table that they lack is the one that is attached. The call
    is like one that a model asks for: with events, approval, deadline and undo.
    """

    async def call(turn: AgentTurn) -> None:
        tool = agent.tool(name)
        arguments, _ = with_table({} if tool is None else tool.parameters, turn.data, turn.references)
        try:
            result = await turn.work.call(name, arguments)  # its arguments may have any name
            if says:
                await turn.say(result.answer or answer_of(name, "ok", result.summary, result.value))
        except ToolError as error:
            await turn.say(str(error))

    return evolve(agent, run=call, output_type=None)
