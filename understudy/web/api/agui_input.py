"""Parse the input of an AG-UI run into a command. Imported with the first one, because it needs pydantic."""

from typing import Any, Final

from ag_ui.core import RunAgentInput, TextPart, UserMessage
from pydantic import ValidationError

from transport.wire.command_parser import decode, parse_command
from transport.wire.commands import Approve, Respond, Say
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


def replies_of(given: RunAgentInput) -> list[Approve | Respond]:
    """Return the decisions and answers with which a run's input resumes an interrupted run.

    An interrupt of an approval is answered by the fields of `approve`, one of a question by its answer; a cancelled one
    is denied or declined.

    Raises:
        CommandRejected: `invalid_command`: a payload is no object, or has a wrong field.
    """
    replies: list[Approve | Respond] = []
    for entry in given.resume or ():
        resolved = entry.status == "resolved"
        payload: Any = entry.payload
        if resolved and not isinstance(payload, dict):
            raise CommandRejected("invalid_command", "The `payload` of a resolved interrupt must be an object.")
        if "." in entry.interrupt_id:  # the id of a question
            fields: dict[str, Any] = {"answer": payload} if resolved else {"decline": True}
            command = parse_command({"type": "answer", "payload": fields | {"question_id": entry.interrupt_id}}, None)
        else:
            fields = dict(payload) if resolved else {"decision": "deny"}
            command = parse_command({"type": "approve", "payload": {**fields, "call_id": entry.interrupt_id}}, None)
        if isinstance(command, Approve | Respond):
            replies.append(command)
    return replies


def wants_interrupts(given: RunAgentInput) -> bool:
    """Return whether the run is to end with an interrupt when it waits for its user; a resumed one always does."""
    props = given.forwarded_props
    return bool(given.resume) or (isinstance(props, dict) and props.get("interrupts") is True)


def say_of(given: RunAgentInput, agent: str | None, agents: dict[str, Agent]) -> Say:
    """Return the command that a run's input stands for.

    Raises:
        CommandRejected: It has no message of the user, a part that is no text, or an unknown name.
    """
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
