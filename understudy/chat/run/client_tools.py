"""Tools of the client that sent a message: the model calls them, and the run waits until the client sends the result.

1. A call of such a tool is a question (`chat.run.questions`) whose answer is the result: so it is durable, has a
   deadline, suspends the run's own deadline, and is asked under the same id by a run that goes on after a crash.
2. The server's own calls of a turn are made first. Then all the client's are asked about, and each question names all
   of them: so the log says from when on the run waits only for its client.
"""

from collections.abc import Container, Iterable, Mapping
from typing import Any, Final

from attrs import evolve, frozen

from transport.wire.commands import JsonObject
from transport.wire.events import Event
from understudy.tools.errors import ToolError
from understudy.tools.form import Question
from understudy.tools.parameters import plain_parameters
from understudy.tools.schema import Misfit
from understudy.tools.tool import Tool, tool
from understudy.wire.events import NO_USAGE, QuestionAnswered, QuestionAsked, ToolCompleted, Usage

OUTPUT: Final = "output"
"""The property of an answer that holds the result of the client's tool, a text."""
SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {OUTPUT: {"type": "string", "title": "Result"}},
    "required": [OUTPUT],
}
CLIENT: Final = "client"
"""`asked_by` of such a question."""


@frozen
class ClientWait:
    """What a run that waits for its client's tools logs with each question: its calls, text and usage so far."""

    calls: tuple[str, ...] = ()
    said: str = ""
    usage: Usage = NO_USAGE


def client_tools(given: Iterable[JsonObject], own: Container[str]) -> tuple[Tool, ...]:
    """Return the client's tools, as the settings of a message have them, but those whose names are among `own`."""
    return tuple(_tool(tool) for tool in given if tool["name"] not in own)


def open_calls(events: Iterable[Event]) -> dict[str, str]:
    """Return the open calls of the client's tools in a run with these events, by the ids of their questions."""
    waiting: dict[str, str] = {}
    for event in events:
        match event:
            case QuestionAsked(question_id=name, asked_by="client", call_id=str(call_id)):
                waiting[name] = call_id
            case QuestionAnswered(question_id=name):
                waiting.pop(name, None)
            case ToolCompleted(call_id=ended):
                waiting = {name: call_id for name, call_id in waiting.items() if call_id != ended}
    return waiting


def client_question(name: str) -> Question:
    """Return the question whose answer is the result of the client's tool `name`."""
    return Question(f"The program that sent the message is to run {name}", SCHEMA)


def check_output(answer: Mapping[str, Any]) -> None:
    """Raise `Misfit` for an answer that is no result of a client's tool."""
    if not isinstance(answer.get(OUTPUT), str):
        raise Misfit(OUTPUT, "it must be a text")


def _tool(given: Mapping[str, Any]) -> Tool:
    async def call() -> str:
        raise ToolError("tool_failed", "Only the client can call this tool.")

    client_tool = tool(name=given["name"], retry_safe=True, on_server_loop=True)(call)
    parameters, choices = plain_parameters(given.get("parameters", {}))
    description = given.get("description") or f"{given['name']}, a tool of the user's program."
    return evolve(client_tool, description=f"{description} {choices}".rstrip(), parameters=parameters, client=True)
