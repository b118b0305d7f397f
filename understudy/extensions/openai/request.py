"""Builds the request of OpenAI's Responses API for a turn. Pure.

1. The provider stores nothing: the request has the whole conversation, and the encrypted reasoning of earlier replies.
2. The parts of a reply are sent back in their order: the API refuses reasoning that is not followed by the text or call
   that it led to.
"""

import base64
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import msgspec
from attrs import asdict

from understudy.models.items import CallItem, Item, MessageItem, ReasoningItem, ResultItem, settled
from understudy.models.model import ToolCard, Turn
from understudy.models.prompt import CONTINUE, offered_tools, system_text, tool_choice, tool_name, user_text

STATE: Final = "openai-responses"
"""The provider's name in states of this API. Their value is the outline of a reply: its encrypted reasoning, and a mark
for each text and call, in order."""
_Outline: TypeAlias = list[dict[str, Any]]


def build_request(turn: Turn, model: str) -> dict[str, Any]:
    """Return the body of the request: streaming, not stored, and with tools if there are any."""
    built = build_input((*turn.items, *turn.notes), model)
    if turn.partial_text:
        built += [{"role": "assistant", "content": turn.partial_text}, {"role": "developer", "content": CONTINUE}]
    body: dict[str, Any] = {
        "model": model,
        "instructions": system_text(turn),
        "input": built,
        "stream": True,
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "reasoning": {"summary": "auto"},
    }
    settings, tools = turn.settings, offered_tools(turn)
    if settings.effort is not None:
        body["reasoning"] = {"effort": settings.effort, **body["reasoning"]}
    if settings.temperature is not None:
        body["temperature"] = settings.temperature
    if settings.max_output is not None:
        body["max_output_tokens"] = settings.max_output
    if turn.output is not None:
        form = {"name": turn.output.name, "schema": dict(turn.output.schema), "strict": turn.output.strict}
        body["text"] = {"format": {"type": "json_schema", **form} if turn.output.schema else {"type": "json_object"}}
    return body | (_tools(turn, tools) if tools else {})


def _tools(turn: Turn, tools: Sequence[ToolCard]) -> dict[str, Any]:
    # The API's default is strict, which allows few schemas; this server validates arguments in any case.
    fields: dict[str, Any] = {
        "tools": [{"type": "function", "strict": False, **asdict(tool, recurse=False)} for tool in tools]
    }
    choice = tool_choice(turn)
    if choice is not None:
        named = choice not in ("auto", "none", "required")
        fields["tool_choice"] = {"type": "function", "name": choice} if named else choice
    if turn.settings.parallel_calls is not None:
        fields["parallel_tool_calls"] = turn.settings.parallel_calls
    return fields


def build_input(items: Sequence[Item], model: str = "") -> list[dict[str, Any]]:
    """Return the conversation for the API, which rejects a call without a result and a result without a call."""
    built: list[dict[str, Any]] = []
    outline: _Outline = []  # the part of the current reply's outline that is not in `built` yet
    for item in settled(items, STATE, model):
        match item:
            case ReasoningItem():
                outline = item.own_state(STATE, model) or []
            case MessageItem(role="assistant", content=content):
                reasoning, mark, outline = _next(outline, "message")
                built += [*reasoning, {**mark, "role": "assistant", "content": content}]
            case CallItem(id=call_id, name=name, arguments=arguments):
                reasoning, mark, outline = _next(outline, "function_call")
                written = msgspec.json.encode(arguments).decode()
                call = {"type": "function_call", "call_id": call_id, "name": tool_name(name), "arguments": written}
                built += [*reasoning, call]
            case ResultItem(call_id=call_id, content=content):
                outline = []
                built.append({"type": "function_call_output", "call_id": call_id, "output": content})
            case MessageItem(content=content, files=files) as message:
                text, outline = user_text(content, files), []
                attached = message.images or message.documents
                built.append({"role": "user", "content": _parts(text, message) if attached else text})
            case _:
                outline = []
                built.append({"role": "developer", "content": item.content})
    return built


def _next(outline: _Outline, kind: str) -> tuple[_Outline, dict[str, Any], _Outline]:
    """Return the reasoning before the next mark of this kind, the mark, and the rest of the outline."""
    for index, mark in enumerate(outline):
        if mark["type"] == kind:
            return [part for part in outline[:index] if part["type"] == "reasoning"], mark, outline[index + 1 :]
    return [], {}, outline


def _parts(text: str, message: MessageItem) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = [{"type": "input_text", "text": text}] if text else []
    for image in message.images:
        address = _data_url(image.media_type, image.content)
        parts.append({"type": "input_image", "detail": "auto", "image_url": address})
    for document in message.documents:
        address = _data_url("application/pdf", document.content)
        parts.append({"type": "input_file", "filename": document.name, "file_data": address})
    return parts


def _data_url(media_type: str, content: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"
