"""Parse the input of an AG-UI run into a command. Imported with the first one, because it needs pydantic."""

from typing import Any, Final

from ag_ui.core import RunAgentInput, TextPart, UserMessage
from pydantic import ValidationError

from transport.wire.command_parser import decode, parse_command
from transport.wire.commands import Say
from transport.wire.errors import CommandRejected
from understudy.agents.agent import Agent

MAX_VALUES: Final = 100_000
"""JSON values in a run's input, in which clients send the whole history each time. More are refused."""
FORWARDED: Final = ("agent_type", "pillar", "references", "parent_id", "context", "settings")
"""Fields of a message that an application may set in `forwardedProps`, by the names of our own command."""


def input_of(body: bytes) -> RunAgentInput:
    """Parse a run's input. Of its messages only the user's last one is used: the server has the history.

    Validating a whole history could occupy the interpreter for seconds.
    """
    given = decode(body, MAX_VALUES)
    if not isinstance(given, dict):
        raise CommandRejected("invalid_command", "A run's input must be a JSON object.")
    messages = given.get("messages")
    if isinstance(messages, list):
        of_user = [each for each in messages if isinstance(each, dict) and each.get("role") == "user"]
        given = {**given, "messages": of_user[-1:]}
    try:
        return RunAgentInput.model_validate({**given, "tools": [], "context": [], "state": None})
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])[:80]
        raise CommandRejected("invalid_command", f"The field `{where}` is missing or of the wrong type.") from None


def say_of(given: RunAgentInput, agent: str | None, agents: dict[str, Agent]) -> Say:
    """Return the command that a run's input stands for.

    Raises:
        CommandRejected: It has no message of the user, a part that is no text, or an unknown name.
    """
    if given.resume:
        raise CommandRejected("invalid_command", "Runs are not interrupted here; send approvals to /api/commands.")
    last = next((message for message in reversed(given.messages) if isinstance(message, UserMessage)), None)
    if last is None:
        raise CommandRejected("empty_message", "There is no message of the user.")
    content = last.content
    if not isinstance(content, str):
        texts = [part.text for part in content if isinstance(part, TextPart)]
        if len(texts) != len(content):
            raise CommandRejected("invalid_command", "Upload files to /api/files, and name them in `references`.")
        content = "\n".join(texts)
    props = given.forwarded_props if isinstance(given.forwarded_props, dict) else {}
    fields: dict[str, Any] = {name: props[name] for name in FORWARDED if name in props}
    if agent is not None:
        known = agents.get(agent)
        fields |= {"agent_type": agent, "pillar": None}
        if known is not None:
            fields |= {"agent_type": known.agent_type, "pillar": known.pillar}
    fields |= {"content": content, "thread_id": given.thread_id, "message_id": last.id}
    command = parse_command({"type": "user_message", "payload": fields}, None)
    if not isinstance(command, Say):
        raise TypeError("a message is a Say")
    return command
