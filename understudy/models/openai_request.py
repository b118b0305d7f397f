"""Builds the request of OpenAI's chat completions API for a turn. Pure."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from understudy.models.items import CallItem, Item, MessageItem, ReasoningItem, ResultItem, settled
from understudy.models.model import ToolCard, Turn, fenced

HAND_OVER: Final = "hand_over"
_HAND_OVER_DESCRIPTION: Final = (
    "Hand the whole request over to a colleague who has better tools for it. The colleague answers the user."
)
_HAND_OVER_SCHEMA: Final = {"type": "object", "required": ["to", "reason"], "additionalProperties": False}
_REASON: Final = {"type": "string", "description": "why, in one sentence the user may read"}
_NO_PARAMETERS: Final = {"type": "object", "properties": {}}
_CONTINUE: Final = (
    "Your answer was cut off by an accident where the text above ends, and the user has seen all of that text. Go on "
    "exactly there, if need be in the middle of a word: do not repeat any of it, do not begin again, do not comment."
)
_MAX_COLUMNS: Final = 100
"""Columns of a table that are listed to the model; a tool can profile a wider table."""


def hand_over_name(tools: Sequence[ToolCard]) -> str:
    """Return the handoff tool's name: ``hand_over``, followed by underscores while a real tool has that name."""
    name = HAND_OVER
    while any(each.name == name for each in tools):
        name += "_"
    return name


def build_request(turn: Turn, model: str) -> dict[str, Any]:
    """Return the body of the request: streaming, with usage, and with tools if there are any."""
    messages = [{"role": "system", "content": _system_text(turn)}, *build_messages((*turn.items, *turn.notes))]
    if turn.partial_text:
        messages += [{"role": "assistant", "content": turn.partial_text}, {"role": "system", "content": _CONTINUE}]
    options = {"stream": True, "stream_options": {"include_usage": True}}
    body: dict[str, Any] = {"model": model, "messages": messages, **options}
    tools = [(each.name, each.description, dict(each.parameters) or _NO_PARAMETERS) for each in turn.tools]
    if turn.colleagues:
        to = {"type": "string", "enum": [each.name for each in turn.colleagues]}
        schema = {**_HAND_OVER_SCHEMA, "properties": {"to": to, "reason": _REASON}}
        tools.append((hand_over_name(turn.tools), _HAND_OVER_DESCRIPTION, schema))
    if tools:
        keys = ("name", "description", "parameters")
        body["tools"] = [{"type": "function", "function": dict(zip(keys, each, strict=True))} for each in tools]
    return body


def _system_text(turn: Turn) -> str:
    """Return the system message: instructions, attached files, colleagues."""
    parts = [turn.instructions or f"You are {turn.agent.title or turn.agent.name}. {turn.agent.description}".strip()]
    if turn.files:
        files = []
        for each in turn.files:
            described = {"id": each.id, "name": each.name, "type": each.media_type or "unknown", "bytes": each.size}
            columns = each.columns or ()
            if each.columns is not None:
                described["columns"] = list(columns[:_MAX_COLUMNS])
            if len(columns) > _MAX_COLUMNS:
                described["more_columns"] = len(columns) - _MAX_COLUMNS
            files.append(described)
        parts.append("Files attached by the user:\n" + fenced(files))  # names and columns are untrusted
    if turn.colleagues:
        listed = "\n".join(f"- {each.name}: {each.title}. {each.description}" for each in turn.colleagues)
        parts.append(f"Colleagues you may hand the request over to:\n{listed}")
    return "\n\n".join(parts)


def build_messages(items: Sequence[Item]) -> list[dict[str, Any]]:
    """Return the conversation for the API, which rejects a call without a result and a result without a call."""
    built: list[dict[str, Any]] = []
    for each in settled(items):
        match each:
            case MessageItem(role=role, content=content):
                built.append({"role": role, "content": content})
            case CallItem(id=call_id, name=name, arguments=arguments):
                if not built or built[-1]["role"] != "assistant":
                    built.append({"role": "assistant", "content": None})
                function = {"name": name, "arguments": msgspec.json.encode(arguments).decode()}
                built[-1].setdefault("tool_calls", []).append({"id": call_id, "type": "function", "function": function})
            case ResultItem(call_id=call_id, content=content):
                built.append({"role": "tool", "tool_call_id": call_id, "content": content})
            case ReasoningItem():
                pass
            case _:
                built.append({"role": "system", "content": each.content})
    return built
