"""Builds the request of OpenAI's chat completions API for a turn. Pure."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from understudy.models.model import AgentCard, ChatMessage, FileCard, ToolCard, ToolRequest, Turn, fenced

HAND_OVER: Final = "hand_over"
_GO_ON: Final = (
    "Your answer was cut off by an accident where the text above ends, and the user has seen all of that text. Go on "
    "exactly there, if need be in the middle of a word: do not repeat any of it, do not begin again, do not comment."
)
# Columns of a table that are listed to the model; wide tables are profiled by a tool instead.
_MAX_COLUMNS: Final = 100


def hand_over_name(tools: Sequence[ToolCard]) -> str:
    """Return the handoff tool's name: ``hand_over``, followed by underscores while a real tool has that name."""
    name = HAND_OVER
    while any(each.name == name for each in tools):
        name += "_"
    return name


def request_of(turn: Turn, model: str) -> dict[str, Any]:
    """Return the body of the request: streaming, with usage, and with tools if there are any."""
    body: dict[str, Any] = {
        "model": model,
        "messages": [
            {"role": "system", "content": system_text(turn)},
            *messages_of(turn.messages),
            *_begun(turn.partial_text),
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    tools = [_function(each.name, each.description, dict(each.parameters)) for each in turn.tools]
    if turn.colleagues:
        tools.append(_hand_over(hand_over_name(turn.tools), turn.colleagues))
    if tools:
        body["tools"] = tools
    return body


def system_text(turn: Turn) -> str:
    """Return the system message: instructions, attached files, colleagues."""
    parts = [turn.instructions or f"You are {turn.agent.title or turn.agent.name}. {turn.agent.description}".strip()]
    if turn.files:
        parts.append("Files attached by the user:\n" + fenced([_file(each) for each in turn.files]))
    if turn.colleagues:
        listed = "\n".join(f"- {each.name}: {each.title}. {each.description}" for each in turn.colleagues)
        parts.append(f"Colleagues you may hand the request over to:\n{listed}")
    return "\n\n".join(parts)


def _begun(text: str) -> list[dict[str, Any]]:
    """Return the messages with the answer so far and the request to continue it."""
    return [{"role": "assistant", "content": text}, {"role": "system", "content": _GO_ON}] if text else []


def messages_of(messages: Sequence[ChatMessage]) -> list[dict[str, Any]]:
    """The conversation. The API refuses a call without its answer and an answer without its call.

    Both happen where history was cut or a run was interrupted: such answers are left out, and a call without an
    answer gets one that says so.
    """
    return list(_messages(messages))


def _messages(messages: Sequence[ChatMessage]) -> Iterator[dict[str, Any]]:
    waiting: dict[str, ToolRequest] = {}
    for each in messages:
        if each.role == "tool":
            if each.call_id is not None and waiting.pop(each.call_id, None) is not None:
                yield {"role": "tool", "tool_call_id": each.call_id, "content": each.content}
            continue
        yield from _unanswered(waiting)
        message: dict[str, Any] = {"role": each.role, "content": each.content}
        if each.calls:
            message["content"] = each.content or None
            message["tool_calls"] = [_call(call) for call in each.calls]
            waiting = {call.id: call for call in each.calls}
        yield message
    yield from _unanswered(waiting)


def _unanswered(waiting: dict[str, ToolRequest]) -> Iterator[dict[str, Any]]:
    for call_id in list(waiting):
        del waiting[call_id]
        yield {"role": "tool", "tool_call_id": call_id, "content": '{"status":"failed","error":"No result was kept."}'}


def _call(call: ToolRequest) -> dict[str, Any]:
    arguments = msgspec.json.encode(dict(call.arguments)).decode()
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _function(name: str, description: str, parameters: dict[str, Any]) -> dict[str, Any]:
    schema = parameters or {"type": "object", "properties": {}}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


def _hand_over(name: str, colleagues: Sequence[AgentCard]) -> dict[str, Any]:
    return _function(
        name,
        "Hand the whole request over to a colleague who has better tools for it. The colleague answers the user.",
        {
            "type": "object",
            "properties": {
                "to": {"type": "string", "enum": [each.name for each in colleagues]},
                "reason": {"type": "string", "description": "why, in one sentence the user may read"},
            },
            "required": ["to", "reason"],
            "additionalProperties": False,
        },
    )


def _file(card: FileCard) -> dict[str, Any]:
    """Describe a file. Names and columns are untrusted: the description must be fenced."""
    described: dict[str, Any] = {
        "id": card.id,
        "name": card.name,
        "type": card.media_type or "unknown",
        "bytes": card.size,
    }
    if card.columns is not None:
        described["columns"] = list(card.columns[:_MAX_COLUMNS])
        if len(card.columns) > _MAX_COLUMNS:
            described["more_columns"] = len(card.columns) - _MAX_COLUMNS
    return described
