"""Parse the input of an AG-UI run. Imported with the first one, because it needs pydantic."""

import base64
import binascii
import mimetypes
from typing import Any, Final
from urllib.parse import unquote_to_bytes, urlsplit

import msgspec
from ag_ui.core import RunAgentInput, TextPart, ToolMessage, UserMessage
from attrs import field, frozen
from pydantic import ValidationError

from transport.agui.vocabulary import METADATA_KEY, PROTOCOL_VERSION
from transport.wire.command_parser import decode, parse_command
from transport.wire.commands import Approve, Respond, Say
from transport.wire.errors import CommandRejected
from understudy.agents.agent import Agent
from understudy.chat.commands import CONTEXT_BYTES
from understudy.storage.files import is_file_id

MAX_VALUES: Final = 100_000
"""JSON values in a run's input, in which clients send the whole history each time. More are refused."""
FORWARDED: Final = ("agent_type", "pillar", "references", "parent_id", "context", "settings")
"""Fields of a message that an application may set in `forwardedProps`, by the names of our own command."""
FILES: Final = "/api/files/"
FILE_ONLY: Final = "(a file without a text)"
"""The text of a message that has only files."""
ELSEWHERE: Final = (
    f"The server fetches nothing from other addresses: send a file's bytes as `data`, or upload it to {FILES[:-1]}."
)


@frozen
class InlineFile:
    """A file that came inside a message."""

    name: str
    media_type: str
    content: bytes = field(repr=False)


@frozen
class AguiRequest:
    """What a run's input asks for.

    `say` is the user's last message, None without one; `files` are those that came in it, to be added to its
    references. `replies` resume an interrupted run. `pauses`: the client takes interrupts. `state` is the client's own,
    None if it is no object. `known` are the client's messages with parts, by id, as it sent them. `tools` are the
    client's, `results` what it has of calls: by their ids, the id of the message and its text.
    """

    thread_id: str
    run_id: str
    parent_run_id: str | None
    say: Say | None
    files: tuple[InlineFile, ...]
    replies: tuple[Approve | Respond, ...]
    pauses: bool
    state: dict[str, Any] | None = field(repr=False)
    known: dict[str, Any] = field(repr=False)
    tools: tuple[dict[str, Any], ...] = field(repr=False)
    results: dict[str, tuple[str, str]] = field(repr=False)


def parse_request(body: bytes, agent: str | None, agents: dict[str, Agent]) -> AguiRequest:
    """Parse a run's input. Of its messages only the last ones are used: the server has the history.

    `agent` is the one that the address names, if any.

    Raises:
        CommandRejected: The input is not AG-UI's, has a part that cannot be taken, or an unknown name.
    """
    raw = decode(body, MAX_VALUES)
    if not isinstance(raw, dict):
        raise CommandRejected("invalid_command", "A run's input must be a JSON object.")
    given = _validated(raw)
    state = _own_state(raw.get("state"))
    say, files = _message(given, agent, agents, state)
    props = given.forwarded_props if isinstance(given.forwarded_props, dict) else {}
    pauses = props.get("interrupts", bool(given.resume) or given.protocol_version == PROTOCOL_VERSION)
    return AguiRequest(
        given.thread_id,
        given.run_id,
        given.parent_run_id,
        say,
        files,
        _replies(given),
        pauses is True,
        state,
        _with_parts(raw.get("messages")),
        _tools(given),
        _results(raw.get("messages")),
    )


def _validated(raw: dict[str, Any]) -> RunAgentInput:
    """Validate the input without the earlier messages, which could occupy the interpreter for seconds."""
    messages = raw.get("messages")
    if isinstance(messages, list):
        of_user = [each for each in messages if isinstance(each, dict) and each.get("role") == "user"]
        raw = {**raw, "messages": of_user[-1:]}
    try:
        return RunAgentInput.model_validate({**raw, "state": None})
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])[:80]
        raise CommandRejected("invalid_command", f"The field `{where}` is missing or of the wrong type.") from None


def _own_state(state: Any) -> dict[str, Any] | None:
    """Return the client's members of the state that it shares."""
    if not isinstance(state, dict):
        return None
    return {name: value for name, value in state.items() if name != METADATA_KEY}


def _with_parts(messages: Any) -> dict[str, Any]:
    """Return the user's messages that have parts, as far as they are valid."""
    known = {}
    for each in messages if isinstance(messages, list) else ():
        if isinstance(each, dict) and each.get("role") == "user" and isinstance(each.get("content"), list):
            try:
                message = UserMessage.model_validate(each)
            except ValidationError:
                continue
            known[message.id] = message.model_dump(by_alias=True, mode="json")
    return known


def _tools(given: RunAgentInput) -> tuple[dict[str, Any], ...]:
    """Return the client's tools, in the form of the setting `tools` of a message."""
    tools = []
    for each in given.tools or ():
        schema = {"parameters": each.parameters} if each.parameters else {}
        tools.append({"name": each.name, "description": each.description, **schema})
    return tuple(tools)


def _results(messages: Any) -> dict[str, tuple[str, str]]:
    """Return the results of calls that the client has, as far as they are valid."""
    results = {}
    for each in messages if isinstance(messages, list) else ():
        if isinstance(each, dict) and each.get("role") == "tool":
            try:
                message = ToolMessage.model_validate(each)
            except ValidationError:
                continue
            parts = message.content if isinstance(message.content, list) else [TextPart(text=message.content)]
            texts = [part.text if isinstance(part, TextPart) else f"({part.type})" for part in parts]
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
            command = parse_command({"type": "answer", "payload": fields | {"question_id": entry.interrupt_id}}, None)
        else:
            fields = dict(payload) if resolved else {"decision": "deny"}
            command = parse_command({"type": "approve", "payload": {**fields, "call_id": entry.interrupt_id}}, None)
        if isinstance(command, Approve | Respond):
            replies.append(command)
    return tuple(replies)


def _message(
    given: RunAgentInput, agent: str | None, agents: dict[str, Agent], state: dict[str, Any] | None
) -> tuple[Say | None, tuple[InlineFile, ...]]:
    """Return the user's last message as a command, and the files that came in it."""
    last = next((message for message in reversed(given.messages) if isinstance(message, UserMessage)), None)
    if last is None:
        return None, ()
    content, files, references = _parts(last.content)
    props = given.forwarded_props if isinstance(given.forwarded_props, dict) else {}
    fields: dict[str, Any] = {name: props[name] for name in FORWARDED if name in props}
    if agent is not None:
        known = agents.get(agent)
        fields |= {"agent_type": agent, "pillar": None}
        if known is not None:
            fields |= {"agent_type": known.agent_type, "pillar": known.pillar}
    if references and isinstance(fields.get("references", []), list):
        fields["references"] = [*fields.get("references", ()), *references]
    if context := _context(given, fields.get("context"), state):
        fields["context"] = context
    fields |= {"content": content, "thread_id": given.thread_id, "message_id": last.id}
    command = parse_command({"type": "user_message", "payload": fields}, None)
    if not isinstance(command, Say):
        raise TypeError("a message is a Say")
    return command, files


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
        context["context"] = [{"description": each.description, "value": each.value} for each in given.context]
    if state:
        size = len(msgspec.json.encode(state))
        fits = size <= CONTEXT_BYTES - len(msgspec.json.encode(context)) - 16
        context["state"] = state if fits else f"left out: {size:,} bytes"
    return context


def _parts(content: Any) -> tuple[str, tuple[InlineFile, ...], list[str]]:
    """Return the text of a message, the files inside it, and the ids of files that were uploaded before."""
    if isinstance(content, str):
        return content, (), []
    texts: list[str] = []
    files: list[InlineFile] = []
    references: list[str] = []
    for part in content:
        if isinstance(part, TextPart):
            texts.append(part.text)
            continue
        file = _file(part)
        if isinstance(file, str):
            references.append(file)
        else:
            files.append(file)
    text = "\n".join(texts)
    return text if text.strip() or not (files or references) else FILE_ONLY, tuple(files), references


def _file(part: Any) -> InlineFile | str:
    """Return the file of a part: its bytes, or the id of an uploaded one."""
    source = part.source
    if source.type == "file":
        return _reference(source.value if source.provider in (None, METADATA_KEY) else "")
    if source.type == "data":
        return _inline(part, source.mime_type, source.value)
    if source.value.startswith("data:"):  # RFC 2397
        header, comma, value = source.value.removeprefix("data:").partition(",")
        if comma and header.endswith(";base64"):
            return _inline(part, header.removesuffix(";base64") or source.mime_type or "", value)
        if comma:
            content = unquote_to_bytes(value)
            return InlineFile(_name(part, header), header.partition(";")[0], content)
    return _reference(_last_name(source.value))


def _last_name(address: str) -> str:
    """Return the id in the address of an uploaded file; empty for any other address."""
    path = urlsplit(address).path
    return path.removeprefix(FILES) if path.startswith(FILES) else ""


def _reference(file_id: str) -> str:
    if not is_file_id(file_id):
        raise CommandRejected("invalid_command", ELSEWHERE)
    return file_id


def _inline(part: Any, media_type: str, value: str) -> InlineFile:
    try:
        content = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise CommandRejected("invalid_command", "The `data` of a part must be base64.") from None
    return InlineFile(_name(part, media_type), media_type.partition(";")[0], content)


def _name(part: Any, media_type: str) -> str:
    """Return the name of a file: the one that its metadata gives, or the kind of part with a fitting suffix."""
    about = part.metadata if isinstance(part.metadata, dict) else {}
    given = about.get("filename") or about.get("name")
    if isinstance(given, str) and given.strip():
        return given
    return f"{part.type}{mimetypes.guess_extension(media_type.partition(';')[0].strip()) or ''}"
