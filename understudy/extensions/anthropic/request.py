"""Builds the request of Anthropic's Messages API for a turn. Pure.

1. User and assistant alternate. The first and the last message are the user's, because newer models refuse to continue
   a text of their own. A text of the server is sent as the user's, with a prefix that says so.
2. All results of a turn's calls begin the next message, in the order of the calls.
3. Thinking is sent back unchanged, with its signature and in its place among texts and calls, to the same model only.
   If its text was changed, because a part was redacted, it is left out.
4. There are at most four cache marks: after the tools, after the instructions, and after the last two messages of the
   user that the next request repeats. Notes, which are for one turn only, follow the last mark.
"""

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from understudy.extensions.providers.answer import WrittenCall, make_state
from understudy.models.items import (
    NO_TEXT,
    CallItem,
    DocumentPart,
    ImagePart,
    Item,
    MessageItem,
    ProviderState,
    ReasoningItem,
    ResultItem,
    digest,
    settled,
)
from understudy.models.model import ModelLimits, Turn
from understudy.models.prompt import CONTINUE, GO_ON, offered_tools, system_text, tool_choice, tool_name, user_text

PROVIDER: Final = "anthropic"
"""The name of the provider in the state that is stored with a reply."""
FROM_SERVER: Final = "[From the server, not from the user]"
_MARK: Final = {"type": "ephemeral"}

Block = dict[str, Any]


def build_request(turn: Turn, model: str) -> dict[str, Any]:
    """Return the body of the request for a turn, in the form of newer models, which choose how much they think."""
    messages = build_messages(turn.items, model)
    _mark(messages)
    for note in turn.notes:
        _add(messages, "user", [_server_text(note.content)])
    if turn.partial_text.strip():
        _add(messages, "assistant", [_text(turn.partial_text)])
        _add(messages, "user", [_server_text(CONTINUE)])
    if not messages or messages[-1]["role"] == "assistant":
        _add(messages, "user", [_server_text(GO_ON)])
    body: dict[str, Any] = {
        "model": model,
        "max_tokens": turn.settings.max_output or ModelLimits().max_output,
        "system": [_text(system_text(turn)) | {"cache_control": _MARK}],
        "messages": messages,
    }
    forced = False
    if tools := [
        {"name": tool.name, "description": tool.description, "input_schema": dict(tool.parameters)}
        for tool in offered_tools(turn)
    ]:
        tools[-1]["cache_control"] = _MARK
        body["tools"] = tools
        if choice := _tool_choice(turn):
            forced = choice["type"] in ("any", "tool")
            body["tool_choice"] = choice
    if turn.output is not None:
        body["output_config"] = {"format": {"type": "json_schema", "schema": dict(turn.output.schema)}}
    if (effort := turn.settings.effort) == "none":
        body["thinking"] = {"type": "disabled"}
    elif effort is not None:
        body["output_config"] = body.get("output_config", {}) | {"effort": "low" if effort == "minimal" else effort}
        if not forced:  # the API refuses thinking together with a forced call
            body["thinking"] = {"type": "adaptive", "display": "summarized"}
    if turn.settings.temperature is not None and "thinking" not in body:
        body["temperature"] = min(turn.settings.temperature, 1.0)
    return body


def _tool_choice(turn: Turn) -> dict[str, Any]:
    """Return the field `tool_choice`, empty for the provider's default."""
    choice, parallel = tool_choice(turn), turn.settings.parallel_calls
    if choice == "none":
        return {"type": "none"}
    limit = {} if parallel is None else {"disable_parallel_tool_use": not parallel}
    match choice:
        case None:
            return {"type": "auto"} | limit if limit else {}
        case "auto" | "required":
            return {"type": "any" if choice == "required" else "auto"} | limit
    return {"type": "tool", "name": choice} | limit


def build_messages(items: Sequence[Item], model: str) -> list[dict[str, Any]]:
    """Return the conversation for the API. It begins with the user; it may end with the assistant."""
    messages: list[dict[str, Any]] = []
    turn: list[ReasoningItem | MessageItem | CallItem] = []

    def close() -> None:
        if turn:
            _add(messages, "assistant", _assistant_blocks(turn, model))
        turn.clear()

    for item in settled(items, PROVIDER, model):
        match item:
            case ReasoningItem():
                close()
                turn.append(item)
            case MessageItem(role="assistant"):
                if any(not isinstance(earlier, ReasoningItem) for earlier in turn):
                    close()
                turn.append(item)
            case CallItem():
                turn.append(item)
            case MessageItem(content=content, files=files):
                close()
                text = user_text(content, files)
                attached = [*map(_document, item.documents), *map(_image, item.images)]
                _add(messages, "user", [*attached, *([_text(text)] if text else [])])
            case ResultItem(call_id=call_id, status=status, content=content):
                close()
                failed = {} if status == "ok" else {"is_error": True}
                result = {"type": "tool_result", "tool_use_id": call_id, "content": content}
                _add(messages, "user", [result | failed])
            case _:
                close()
                _add(messages, "user", [_server_text(item.content)])
    close()
    if messages and messages[0]["role"] == "assistant":
        messages.insert(0, {"role": "user", "content": [_text(NO_TEXT)]})
    return messages


def encode_state(blocks: Sequence[Mapping[str, Any]], model: str, calls: Sequence[WrittenCall]) -> ProviderState | None:
    """Return the state to store with a reply: the order and sizes of its `blocks`, signatures, and the ids of `calls`.

    The text of thinking is not in the state, because the reply stores it as its reasoning, where secrets are redacted;
    nor are texts and arguments. Return None if the state is empty or too large.
    """
    shapes: list[Block] = []
    for block in blocks:
        match block["type"]:
            case "thinking":
                size = len(block["thinking"])
                shapes.append({"type": "thinking", "size": size, "signature": block["signature"]})
            case "redacted_thinking":
                shapes.append({"type": "redacted_thinking", "data": block["data"]})
            case "text":
                shapes.append({"type": "text", "size": len(block["text"])})
            case "tool_use":
                shapes.append({"type": "tool_use"})
    if not any("thinking" in shape["type"] for shape in shapes):
        return make_state(PROVIDER, model, {}, calls)
    reasoning = "".join(block["thinking"] for block in blocks if block["type"] == "thinking")
    return make_state(PROVIDER, model, {"blocks": shapes, "reasoning": digest(reasoning)}, calls)


def _assistant_blocks(turn: Sequence[ReasoningItem | MessageItem | CallItem], model: str) -> list[Block]:
    """Return the blocks of one reply of the model, in their stored order if that still fits its texts and calls."""
    text = "".join(item.content for item in turn if isinstance(item, MessageItem))
    calls = [_call(item) for item in turn if isinstance(item, CallItem)]
    reasoning = next((item for item in turn if isinstance(item, ReasoningItem)), None)
    kept = [] if reasoning is None else _kept_blocks(reasoning, model)
    text_sizes = [block["size"] for block in kept if block["type"] == "text"]
    kinds = [block["type"] for block in kept]
    ordered = sum(text_sizes) == len(text) and kinds.count("tool_use") == len(calls)
    if not ordered or (calls and kinds and kinds[-1] != "tool_use"):
        thinking = [block for block in kept if "thinking" in block["type"]]
        return [*thinking, *([_text(text)] if text.strip() else []), *calls]
    blocks: list[Block] = []
    start, remaining_calls = 0, list(calls)
    for block in kept:
        match block["type"]:
            case "text":
                piece, start = text[start : start + block["size"]], start + block["size"]
                blocks += [_text(piece)] if piece.strip() else []
            case "tool_use":
                blocks.append(remaining_calls.pop(0))
            case _:
                blocks.append(block)
    return blocks


def _kept_blocks(item: ReasoningItem, model: str) -> list[Block]:
    """Return the stored blocks of a reply of this model, thinking with its text; none if that text was changed."""
    value = item.own_state(PROVIDER, model)
    if not value or digest(item.content) != value["reasoning"]:
        return []
    blocks, start = [], 0
    for block in value["blocks"]:
        if block["type"] == "thinking":
            text, start = item.content[start : start + block["size"]], start + block["size"]
            block = {"type": "thinking", "thinking": text, "signature": block["signature"]}
        blocks.append(dict(block))
    return blocks


def _add(messages: list[dict[str, Any]], role: Literal["user", "assistant"], blocks: Sequence[Block]) -> None:
    """Append blocks to the last message if it is of the same role, else as a new one."""
    if not blocks:
        return
    if messages and messages[-1]["role"] == role:
        messages[-1]["content"] += blocks
    else:
        messages.append({"role": role, "content": [*blocks]})


def _mark(messages: Sequence[Mapping[str, Any]]) -> None:
    """Mark the end of the last two messages of the user, so that one of them is cached when the next turn comes."""
    for message in [message for message in messages if message["role"] == "user"][-2:]:
        message["content"][-1]["cache_control"] = _MARK


def _text(text: str) -> Block:
    return {"type": "text", "text": text}


def _server_text(text: str) -> Block:
    return _text(f"{FROM_SERVER}\n{text}")


def _call(item: CallItem) -> Block:
    arguments = item.arguments if isinstance(item.arguments, dict) else {}
    return {"type": "tool_use", "id": item.id, "name": tool_name(item.name), "input": arguments}


def _image(part: ImagePart) -> Block:
    source = {"type": "base64", "media_type": part.media_type, "data": base64.b64encode(part.content).decode()}
    return {"type": "image", "source": source}


def _document(part: DocumentPart) -> Block:
    data = base64.b64encode(part.content).decode()
    source = {"type": "base64", "media_type": "application/pdf", "data": data}
    return {"type": "document", "source": source, "title": part.name[:200]}
