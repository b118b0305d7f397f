"""Parses the input of an AG-UI run. It is imported at the first run, because importing pydantic is slow."""

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
    """The parsed input of a run. `say` is the user's last message, or None; `files` are the new files in it.

    `replies` resume an interrupted run. `pauses`: the client understands interrupts. `state` is the client's own part
    of the shared state, None if that is no object. `known` are the client's messages with parts, by id, as it sent
    them. `tools` are the client's; `results` are its results of calls: by call id, a message's id and its text. `shown`
    are the ids of the answer and the user's message before the last one. `goes_on`: messages follow the last one.
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
    """Parse a run's input. Only the last of its messages are used, because the server has the history.

    `agent` is the name of an agent in the URL, or None.

    Raises:
        CommandRejected: The input is not AG-UI's, a part cannot be accepted, or a name is unknown.
    """
    raw = decode(body, MAX_VALUES)
    if not isinstance(raw, dict):
        raise CommandRejected("invalid_command", "A run's input must be a JSON object.")
    raw_messages = raw.get("messages")
    messages = (
        [message for message in raw_messages if isinstance(message, dict)] if isinstance(raw_messages, list) else []
    )
    last_at = next((at for at in reversed(range(len(messages))) if messages[at].get("role") == "user"), None)
    last = None if last_at is None else messages[last_at]
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
        _shown(messages[:last_at]),
        last_at is not None and last_at + 1 < len(messages),
    )


def _validated(raw: dict[str, Any], last: dict[str, Any] | None) -> RunAgentInput:
    """Validate the input without the earlier messages, because validating a long history would take seconds."""
    if isinstance(raw.get("messages"), list):
        raw = {**raw, "messages": [] if last is None else [{**last, "content": ""}]}  # parts may be unknown
    try:
        return RunAgentInput.model_validate({**raw, "state": None})
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field_path = ".".join(str(part) for part in first["loc"])[:80]
        raise CommandRejected("invalid_command", f"The field `{field_path}` is missing or of the wrong type.") from None


def _shown(messages: list[dict[str, Any]]) -> tuple[str, ...]:
    """Return the ids of the last answer and the user's last message among `messages`, newest first."""
    ids = [(str(message.get("id")), message.get("role") == "user") for message in reversed(messages)]
    end = next((at for at, (_, of_user) in enumerate(ids, 1) if of_user), 0)
    return tuple(message_id for message_id, of_user in ids[:end] if of_user or message_id.startswith(ANSWER))


def _own_state(state: Any) -> dict[str, Any] | None:
    """Return the client's own members of the shared state, None if the state is no object."""
    if not isinstance(state, dict):
        return None
    return {name: value for name, value in state.items() if name != METADATA_KEY}


def _with_parts(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the valid ones of the user's messages with parts, by id."""
    valid = {}
    for raw in messages:
        if raw.get("role") == "user" and isinstance(raw.get("content"), list):
            try:
                message = UserMessage.model_validate(raw)
            except ValidationError:
                continue
            valid[message.id] = message.model_dump(by_alias=True, mode="json")
    return valid


def _tools(run_input: RunAgentInput) -> tuple[dict[str, Any], ...]:
    """Return the client's tools, in the form of the setting `tools` of a message."""
    tools = []
    for tool in run_input.tools or ():
        schema = {"parameters": tool.parameters} if tool.parameters else {}
        tools.append({"name": tool.name, "description": tool.description, **schema})
    return tuple(tools)


def _results(messages: list[dict[str, Any]]) -> dict[str, tuple[str, str]]:
    """Return the valid results of calls among messages: by call id, the id of the message and the text."""
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


def _replies(run_input: RunAgentInput) -> tuple[Approve | Respond, ...]:
    """Return the decisions and answers with which a run's input resumes an interrupted run.

    The payload for an approval has the fields of `approve`, the payload for a question is its answer. A cancelled
    interrupt is denied or declined.
    """
    replies: list[Approve | Respond] = []
    for entry in run_input.resume or ():
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
    run_input: RunAgentInput, content: object, agent: str | None, agents: dict[str, Agent], state: dict[str, Any] | None
) -> tuple[Say, tuple[NewFile, ...]]:
    """Return the user's last message as a command, and the new files in it."""
    props = run_input.forwarded_props if isinstance(run_input.forwarded_props, dict) else {}
    fields: dict[str, Any] = {name: props[name] for name in OPTIONS if name in props}
    if context := _context(run_input, fields.get("context"), state):
        fields["context"] = context
    fields |= {"thread_id": run_input.thread_id, "message_id": run_input.messages[0].id}
    return read_message("content", content, fields, agent, agents)


def _context(run_input: RunAgentInput, app_context: Any, state: dict[str, Any] | None) -> Any:
    """Return the context of a message: the application's own, with the client's `context` and `state` added.

    A state that exceeds the limit of a context is replaced by a note, not refused, because applications share their
    state in each request, whether their agents read it or not.
    """
    context = dict(app_context) if isinstance(app_context, dict) else app_context
    if not isinstance(context, dict | None):
        return context  # it is invalid, so the message will be refused
    context = context or {}
    if run_input.context:
        context["context"] = [{"description": entry.description, "value": entry.value} for entry in run_input.context]
    if state:
        size = len(msgspec.json.encode(state))
        fits = size <= CONTEXT_BYTES - len(msgspec.json.encode(context)) - 16
        context["state"] = state if fits else f"left out: {size:,} bytes"
    return context
