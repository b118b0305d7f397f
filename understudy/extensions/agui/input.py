"""Parse the input of an AG-UI run. Imported with the first one, because it needs pydantic."""

from typing import Any

import msgspec
from ag_ui.core import RunAgentInput, ToolMessage, UserMessage
from attrs import field, frozen
from pydantic import ValidationError

from transport.wire.command_parser import decode
from transport.wire.errors import CommandRejected
from understudy.agents.agent import Agent
from understudy.chat.run_settings import CONTEXT_BYTES
from understudy.extensions.agui.vocabulary import METADATA_KEY, PROTOCOL_VERSION
from understudy.extensions.doors.message_content import MAX_VALUES, OPTIONS, Content, NewFile, read_message
from understudy.wire.commands import Approve, Respond, Say
from understudy.wire.events import ANSWER
from understudy.wire.vocabulary import parse_command


@frozen
class AguiRequest:
    """What a run's input asks for.

    `say` is the user's last message, None without one; `files` are those that came in it, to be added to its
    references. `replies` resume an interrupted run. `pauses`: the client takes interrupts. `state` is the client's own,
    None if it is no object. `known` are the client's messages with parts, by id, as it sent them. `tools` are the
    client's, `results` what it has of calls: by their ids, the id of the message and its text. `shown` are the ids of
    the answer and the message of the user before the last one. `goes_on`: there are messages after that.
    """

    thread_id: str
    run_id: str
    parent_run_id: str | None
    say: Say | None
    files: tuple[NewFile, ...]
    replies: tuple[Approve | Respond, ...]
    pauses: bool
    state: dict[str, Any] | None = field(repr=False)
    known: dict[str, Any] = field(repr=False)
    tools: tuple[dict[str, Any], ...] = field(repr=False)
    results: dict[str, tuple[str, str]] = field(repr=False)
    shown: tuple[str, ...]
    goes_on: bool


def parse_request(body: bytes, agent: str | None, agents: dict[str, Agent]) -> AguiRequest:
    """Parse a run's input. Of its messages only the last ones are used: the server has the history.

    `agent` is the one that the address names, if any.

    Raises:
        CommandRejected: The input is not AG-UI's, has a part that cannot be taken, or an unknown name.
    """
    raw = decode(body, MAX_VALUES)
    if not isinstance(raw, dict):
        raise CommandRejected("invalid_command", "A run's input must be a JSON object.")
    listed = raw.get("messages")
    messages = [message for message in listed if isinstance(message, dict)] if isinstance(listed, list) else []
    place = next((at for at in reversed(range(len(messages))) if messages[at].get("role") == "user"), None)
    last = None if place is None else messages[place]
    run_input = _validated(raw, last)
    state = _own_state(raw.get("state"))
    say, files = (None, ()) if last is None else _message(run_input, last.get("content"), agent, agents, state)
    props = run_input.forwarded_props if isinstance(run_input.forwarded_props, dict) else {}
    pauses = props.get("interrupts", bool(run_input.resume) or run_input.protocol_version == PROTOCOL_VERSION)
    return AguiRequest(
        run_input.thread_id,
        run_input.run_id,
        run_input.parent_run_id,
        say,
        files,
        _replies(run_input),
        pauses is True,
        state,
        _with_parts(messages),
        _tools(run_input),
        _results(messages),
        _shown(messages[:place]),
        place is not None and place + 1 < len(messages),
    )


def _validated(raw: dict[str, Any], last: dict[str, Any] | None) -> RunAgentInput:
    """Validate the input without the earlier messages, which could occupy the interpreter for seconds."""
    if isinstance(raw.get("messages"), list):
        raw = {**raw, "messages": [] if last is None else [{**last, "content": ""}]}  # whose parts may be unknown
    try:
        return RunAgentInput.model_validate({**raw, "state": None})
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])[:80]
        raise CommandRejected("invalid_command", f"The field `{where}` is missing or of the wrong type.") from None


def _shown(messages: list[dict[str, Any]]) -> tuple[str, ...]:
    """Return the ids of the last answer among messages, and of the user's last one, the nearest first."""
    names = [(str(message.get("id")), message.get("role") == "user") for message in reversed(messages)]
    end = next((at for at, (_, of_user) in enumerate(names, 1) if of_user), 0)
    return tuple(name for name, of_user in names[:end] if of_user or name.startswith(ANSWER))


def _own_state(state: Any) -> dict[str, Any] | None:
    """Return the client's members of the state that it shares."""
    if not isinstance(state, dict):
        return None
    return {name: value for name, value in state.items() if name != METADATA_KEY}


def _with_parts(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the user's messages that have parts, as far as they are valid."""
    valid = {}
    for raw in messages:
        if raw.get("role") == "user" and isinstance(raw.get("content"), list):
            try:
                message = UserMessage.model_validate(raw)
            except ValidationError:
                continue
            valid[message.id] = message.model_dump(by_alias=True, mode="json")
    return valid


def _tools(given: RunAgentInput) -> tuple[dict[str, Any], ...]:
    """Return the client's tools, in the form of the setting `tools` of a message."""
    tools = []
    for tool in given.tools or ():
        schema = {"parameters": tool.parameters} if tool.parameters else {}
        tools.append({"name": tool.name, "description": tool.description, **schema})
    return tuple(tools)


def _results(messages: list[dict[str, Any]]) -> dict[str, tuple[str, str]]:
    """Return the results of calls that the client has, as far as they are valid."""
    results = {}
    for raw in messages:
        if raw.get("role") == "tool":
            try:
                message = ToolMessage.model_validate({**raw, "content": ""})
            except ValidationError:
                continue
            read = Content.of_result("content", raw.get("content", ""))
            texts = read.texts + [f"({file if isinstance(file, str) else file.name})" for file in read.files]
            texts += [f"({read.refused})"] if read.refused else []
            texts += [f"Error: {message.error}"] if message.error else []
            results[message.tool_call_id] = (message.id, "\n".join(texts))
    return results


def _replies(given: RunAgentInput) -> tuple[Approve | Respond, ...]:
    """Return the decisions and answers with which a run's input resumes an interrupted run.

    An interrupt of an approval is answered by the fields of `approve`, one of a question by its answer; a cancelled one
    is denied or declined.
    """
    replies: list[Approve | Respond] = []
    for entry in given.resume or ():
        resolved = entry.status == "resolved"
        payload: Any = entry.payload
        if resolved and not isinstance(payload, dict):
            raise CommandRejected("invalid_command", "The `payload` of a resolved interrupt must be an object.")
        if "." in entry.interrupt_id:  # the id of a question
            fields: dict[str, Any] = {"answer": payload} if resolved else {"decline": True}
            command = parse_command({"type": "answer", "payload": fields | {"question_id": entry.interrupt_id}})
        else:
            fields = dict(payload) if resolved else {"decision": "deny"}
            command = parse_command({"type": "approve", "payload": {**fields, "call_id": entry.interrupt_id}})
        if isinstance(command, Approve | Respond):
            replies.append(command)
    return tuple(replies)


def _message(
    given: RunAgentInput, content: object, agent: str | None, agents: dict[str, Agent], state: dict[str, Any] | None
) -> tuple[Say, tuple[NewFile, ...]]:
    """Return the user's last message as a command, and the files that came in it."""
    props = given.forwarded_props if isinstance(given.forwarded_props, dict) else {}
    fields: dict[str, Any] = {name: props[name] for name in OPTIONS if name in props}
    if context := _context(given, fields.get("context"), state):
        fields["context"] = context
    fields |= {"thread_id": given.thread_id, "message_id": given.messages[0].id}
    return read_message("content", content, fields, agent, agents)


def _context(given: RunAgentInput, own: Any, state: dict[str, Any] | None) -> Any:
    """Return what the agent may read: the application's own context, and the client's `context` and `state`.

    A state beyond the limit of a context is left out, and the agent is told so: applications share it in each request,
    whether their agents read it or not.
    """
    context = dict(own) if isinstance(own, dict) else own
    if not isinstance(context, dict | None):
        return context  # refused with the message
    context = context or {}
    if given.context:
        context["context"] = [{"description": entry.description, "value": entry.value} for entry in given.context]
    if state:
        size = len(msgspec.json.encode(state))
        fits = size <= CONTEXT_BYTES - len(msgspec.json.encode(context)) - 16
        context["state"] = state if fits else f"left out: {size:,} bytes"
    return context
