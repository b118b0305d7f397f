"""Builds the request of OpenAI's chat completions API for a turn. Pure."""

import base64
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from understudy.models.items import (
    CallItem,
    FileCard,
    ImagePart,
    Item,
    MessageItem,
    ProviderState,
    ReasoningItem,
    ResultItem,
    settled,
)
from understudy.models.model import AgentCard, ToolCard, Turn, fenced

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
_BAD_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9_-]")
_MAX_COLUMNS: Final = 100
"""Columns of a table that are listed to the model; a tool can profile a wider table."""


def hand_over_name(tools: Sequence[ToolCard]) -> str:
    """Return the handoff tool's name: ``hand_over``, followed by underscores while a real tool has that name."""
    name = HAND_OVER
    while any(each.name == name for each in tools):
        name += "_"
    return name


def build_request(turn: Turn, model: str) -> dict[str, Any]:
    """Return the body of the request: streaming, with usage, and with tools if there are any.

    A turn that may not use the tools of its agent has them all the same, and the colleagues: the provider's prompt
    cache keeps what is before the newest items, and Anthropic's API wants the tools of earlier calls described.
    """
    items = (*turn.items, *turn.notes)
    messages = [{"role": "system", "content": _system_text(turn)}, *build_messages(items, model)]
    if turn.partial_text:
        messages += [{"role": "assistant", "content": turn.partial_text}, {"role": "system", "content": _CONTINUE}]
    options = {"stream": True, "stream_options": {"include_usage": True}}
    body: dict[str, Any] = {"model": model, "messages": messages, **options}
    uncallable = not (turn.tools or turn.colleagues)
    cards, colleagues = turn.tools or turn.agent.tools, _listed_colleagues(turn)
    tools = [(each.name, each.description, dict(each.parameters) or _NO_PARAMETERS) for each in cards]
    if colleagues:
        to = {"type": "string", "enum": [each.name for each in colleagues]}
        schema = {**_HAND_OVER_SCHEMA, "properties": {"to": to, "reason": _REASON}}
        tools.append((hand_over_name(cards), _HAND_OVER_DESCRIPTION, schema))
    if tools:
        keys = ("name", "description", "parameters")
        body["tools"] = [{"type": "function", "function": dict(zip(keys, each, strict=True))} for each in tools]
    return body | _options(turn, bool(tools)) | ({"tool_choice": "none"} if uncallable and tools else {})


def _options(turn: Turn, has_tools: bool) -> dict[str, Any]:
    """Return the fields of the agent's settings; those left to the provider are not sent."""
    settings, choice = turn.settings, turn.settings.tool_choice
    fields: dict[str, Any] = {
        "reasoning_effort": settings.effort,
        "temperature": settings.temperature,
        "max_completion_tokens": settings.max_output,
    }
    if has_tools:
        fields["parallel_tool_calls"] = settings.parallel_calls
        if choice in ("auto", "none", "required"):
            fields["tool_choice"] = "auto" if choice == "required" and turn.rounds else choice
        elif choice is not None and not turn.rounds:
            fields["tool_choice"] = {"type": "function", "function": {"name": choice}}
    return {name: value for name, value in fields.items() if value is not None}


def _listed_colleagues(turn: Turn) -> Sequence[AgentCard]:
    return turn.listed_colleagues or turn.colleagues


def _system_text(turn: Turn) -> str:
    """Return the system message: instructions and colleagues. It is the same in every turn of an agent."""
    parts = [turn.instructions or f"You are {turn.agent.title or turn.agent.name}. {turn.agent.description}".strip()]
    if colleagues := _listed_colleagues(turn):
        listed = "\n".join(f"- {each.name}: {each.title}. {each.description}" for each in colleagues)
        parts.append(f"Colleagues you may hand the request over to:\n{listed}")
    return "\n\n".join(parts)


def describe_files(cards: Sequence[FileCard]) -> str:
    """Return the description of attached files, fenced: names and columns are untrusted."""
    files = []
    for each in cards:
        described = {"id": each.id, "name": each.name, "type": each.media_type or "unknown", "bytes": each.size}
        columns = each.columns or ()
        if each.columns is not None:
            described["columns"] = list(columns[:_MAX_COLUMNS])
        if len(columns) > _MAX_COLUMNS:
            described["more_columns"] = len(columns) - _MAX_COLUMNS
        files.append(described)
    return "Files attached by the user:\n" + fenced(files)


def tool_name(name: str) -> str:
    """Return the name of a called tool as the API accepts it: a model may have asked for one that cannot exist."""
    return _BAD_IN_NAMES.sub("_", name)[:64] or "unknown"


def build_messages(items: Sequence[Item], model: str = "") -> list[dict[str, Any]]:
    """Return the conversation for the API, which rejects a call without a result and a result without a call.

    The state that this provider gave with a reply is given back with it, to the model it is from.
    """
    built: list[dict[str, Any]] = []
    state: Mapping[str, Any] = {}
    for each in settled(items):
        match each:
            case ReasoningItem(state=ProviderState(provider="openai", model=of, value=value)) if of == model:
                state = value
                continue
            case ReasoningItem():
                continue
            case MessageItem(role="assistant", content=content):
                built.append({"role": "assistant", "content": content, **state.get("message", {})})
            case MessageItem(content=content, files=files, images=images):
                text = "\n\n".join(part for part in (content, describe_files(files) if files else "") if part)
                built.append({"role": "user", "content": _parts(text, images) if images else text})
            case CallItem(id=call_id, name=name, arguments=arguments):
                if not built or built[-1]["role"] != "assistant":
                    built.append({"role": "assistant", "content": None, **state.get("message", {})})
                function = {"name": tool_name(name), "arguments": msgspec.json.encode(arguments).decode()}
                calls = built[-1].setdefault("tool_calls", [])
                kept = state.get("calls", {}).get(str(len(calls)), {})
                calls.append({"id": call_id, "type": "function", "function": function, **kept})
                continue
            case ResultItem(call_id=call_id, content=content):
                built.append({"role": "tool", "tool_call_id": call_id, "content": content})
            case _:
                built.append({"role": "system", "content": each.content})
        if not isinstance(each, MessageItem) or each.role == "user":
            state = {}
    return built


def _parts(text: str, images: Sequence[ImagePart]) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = [{"type": "text", "text": text}] if text.strip() else []
    for each in images:
        address = f"data:{each.media_type};base64,{base64.b64encode(each.content).decode()}"
        parts.append({"type": "image_url", "image_url": {"url": address}})
    return parts
