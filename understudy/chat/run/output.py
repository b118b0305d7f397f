"""The final answer of an agent with an output type: checked, and asked for once more if it does not fit.

1. Such an agent's text is not shown as it is written, so that nothing is shown that turns out not to fit.
2. Text beside tool calls is dropped: the answer is one JSON value.
3. What is returned to callers is read again from the recorded text, so that the content policy holds for it too, and a
   resumed run returns the same.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import msgspec
from attrs import evolve

from understudy.agents.agent import Agent
from understudy.agents.output import InvalidOutput, Output, OutputType
from understudy.chat.run.meter import Ended
from understudy.models.model import MessageItem, NoteItem, Reply, Turn
from understudy.tools.errors import ToolError
from understudy.tools.schema import Misfit
from understudy.tools.threads import tool_threads

CHECK_S: Final = 10.0
"""Seconds for the validators of an output type."""


async def fitting_reply(
    agent: Agent, output: OutputType, owner: str, turn: Turn, reply: Reply, ask: Callable[[Turn], Awaitable[Reply]]
) -> Reply:
    """Return the reply of a turn with the text that is shown: JSON of the output type, or none beside tool calls.

    If the answer does not fit, `ask` asks the model once more, and the model is told why.

    Raises:
        InvalidOutput: The second answer does not fit either.
        Exception: Raised by `ask`.
    """
    may_call = bool(turn.tools or turn.colleagues)  # else calls do not count: some providers let the model make them
    asked_again = False
    while not (may_call and (reply.calls or reply.handoff)):
        try:
            return evolve(reply, text=(await _read(agent, output, owner, reply.text)).text)
        except Misfit as misfit:
            why = _sentence(misfit)
        if asked_again:
            raise InvalidOutput(f"{agent.display_title} did not give its answer in the form that is needed: {why}.")
        note = NoteItem(
            f"Your last answer does not fit: {why}. Answer again, with nothing but one JSON value of "
            f"this schema: {msgspec.json.encode(output.format.schema).decode()}"
        )
        first_answer = (MessageItem("assistant", reply.text),) if reply.text.strip() else ()
        reply = await ask(evolve(turn, items=(*turn.items, *first_answer), notes=(*turn.notes, note)))
        asked_again = True
    return evolve(reply, text="")


async def read_output(agent: Agent, output: OutputType, owner: str, text: str, ended: Ended | None = None) -> Output:
    """Return the final answer of an agent from its recorded text.

    Raises `InvalidOutput` if it does not fit: the content policy changed it, or the turn was cut at the bound `ended`
    of the budget.
    """
    try:
        return await _read(agent, output, owner, text)
    except Misfit as misfit:
        why = f"{_sentence(misfit)}." if ended is None else ended.message
        sentence = f"{agent.display_title} ended without an answer in the form that is needed: {why}"
    raise InvalidOutput(sentence)


async def _read(agent: Agent, output: OutputType, owner: str, text: str) -> Output:
    """Read an answer in a worker thread: validators of the type are code of the agent's author. Raises `Misfit`."""
    try:
        return await tool_threads().run(partial(output.read, text), owner, f"output of {agent.name}", CHECK_S)
    except ToolError as error:
        sentence = error.message
    raise InvalidOutput(f"The answer of {agent.display_title} could not be checked: {sentence}")


def _sentence(misfit: Misfit) -> str:
    return f"at {misfit.path.lstrip('.')}, {misfit}" if misfit.path.strip(".") else str(misfit)
