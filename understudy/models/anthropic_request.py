"""Builds the request of Anthropic's Messages API for a turn. Pure.

1. Users and assistant alternate; the first message and the last are the user's, as newer models refuse to go on with a
   text of their own. What the server tells the model is a text of the user's side, and says whose it is.
2. All results of a turn's calls are the beginning of the next message, in the order of the calls.
3. Thinking is given back as it came, with its signature and in its place among texts and calls, to its own model only.
   If the text of it is not what came, as a part was redacted, it is left out.
4. At most four cache marks: after the tools, after the instructions, and after the last two messages of the user that
   come again in the next request. Notes, which are for one turn only, follow the last mark.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import msgspec
from attrs import frozen

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
    settled,
)
from understudy.models.model import ModelLimits, Turn
from understudy.models.prompt import CONTINUE, offered_tools, system_text, tool_choice, tool_name, user_text

PROVIDER: Final = "anthropic"
"""The provider of the state that is kept with a reply."""
FROM_SERVER: Final = "[From the server, not from the user]"
GO_ON: Final = "Go on."
"""What the user's side says if there is nothing else to answer."""
_IN_JSON: Final = "Your final answer is one JSON object, and nothing else. It fits this schema:"
MIN_BUDGET: Final = 1_024
"""Tokens of the smallest budget for thinking that the API takes."""
BUDGETS: Final = {"minimal": 0.0, "low": 0.25, "medium": 0.5, "high": 0.8, "xhigh": 0.9, "max": 0.95}
"""Part of the longest reply that a model of earlier generations may think, by effort; `MIN_BUDGET` at least."""
EFFORTS: Final = ("low", "medium", "high", "xhigh", "max")
"""The API's levels of effort, the lowest first."""
_MARK: Final = {"type": "ephemeral"}

Block = dict[str, Any]


@frozen
class Abilities:
    """What a model accepts: kinds of thinking, levels of effort, replies that are bound to a schema (`structured`), and
    the tokens of its longest reply (None: unknown).

    The defaults are those of newer models, which think as much as they see fit. Earlier ones have a `budget` for it.
    """

    adaptive: bool = True
    budget: bool = False
    off: bool = True
    efforts: frozenset[str] = frozenset(EFFORTS)
    structured: bool = True
    max_output: int | None = None


def build_request(turn: Turn, model: str, abilities: Abilities = Abilities()) -> dict[str, Any]:
    """Return the body of the request. `temperature` is in it if the agent sets one, though newer models refuse it."""
    messages = build_messages(turn.items, model)
    _mark(messages)
    for note in turn.notes:
        _add(messages, "user", [_server_text(note.content)])
    bound = turn.output is not None and turn.output.strict and abilities.structured
    if turn.output is not None and not bound:
        schema = msgspec.json.encode(turn.output.schema).decode()
        _add(messages, "user", [_server_text(f"{_IN_JSON}\n{schema}")])
    if turn.partial_text.strip():
        _add(messages, "assistant", [_text(turn.partial_text)])
        _add(messages, "user", [_server_text(CONTINUE)])
    if not messages or messages[-1]["role"] == "assistant":
        _add(messages, "user", [_server_text(GO_ON)])
    most = abilities.max_output or ModelLimits().max_output
    max_tokens = min(turn.settings.max_output or most, abilities.max_output or turn.settings.max_output or most)
    body: dict[str, Any] = {
        "model": model,
        "max_tokens": max_tokens,
        "system": [_text(system_text(turn)) | {"cache_control": _MARK}],
        "messages": messages,
    }
    forced = False
    if tools := [
        {"name": name, "description": about, "input_schema": dict(schema)}
        for name, about, schema in offered_tools(turn)
    ]:
        tools[-1]["cache_control"] = _MARK
        body["tools"] = tools
        if choice := _tool_choice(turn):
            forced = choice["type"] in ("any", "tool")
            body["tool_choice"] = choice
    if turn.output is not None and bound:
        body["output_config"] = {"format": {"type": "json_schema", "schema": dict(turn.output.schema)}}
    effort = _effort(turn, max_tokens, abilities, forced=forced, resumable=_begins_with_thinking(messages))
    if config := body.get("output_config", {}) | effort.pop("output_config", {}):
        body["output_config"] = config
    body |= effort
    if turn.settings.temperature is not None and "thinking" not in body:
        body["temperature"] = min(turn.settings.temperature, 1.0)
    return body


def _tool_choice(turn: Turn) -> dict[str, Any]:
    """Return the field `tool_choice`, empty if everything is left to the provider."""
    choice, parallel = tool_choice(turn), turn.settings.parallel_calls
    if choice == "none":
        return {"type": "none"}
    one = {} if parallel is None else {"disable_parallel_tool_use": not parallel}
    match choice:
        case None:
            return {"type": "auto"} | one if one else {}
        case "auto" | "required":
            return {"type": "any" if choice == "required" else "auto"} | one
    return {"type": "tool", "name": choice} | one


def _effort(turn: Turn, max_tokens: int, abilities: Abilities, *, forced: bool, resumable: bool) -> dict[str, Any]:
    """Return the fields of the agent's effort, none if it leaves that to the provider.

    Of the levels that a model lacks, the next lower one that it has stands in.
    A forced tool and thinking exclude each other. Thinking with a budget cannot begin after a call of this run that
    was made without: `resumable` is False then.
    """
    effort = turn.settings.effort
    if effort is None:
        return {}
    if effort == "none":
        return {"thinking": {"type": "disabled"}} if abilities.off else {}
    at_most = EFFORTS[: EFFORTS.index("low" if effort == "minimal" else effort) + 1]
    level = next((each for each in reversed(at_most) if each in abilities.efforts), None)
    fields: dict[str, Any] = {} if level is None else {"output_config": {"effort": level}}
    if forced:
        return fields
    if abilities.adaptive:
        fields["thinking"] = {"type": "adaptive", "display": "summarized"}
    elif abilities.budget and resumable and max_tokens > MIN_BUDGET:
        budget = max(int(max_tokens * BUDGETS[effort]), MIN_BUDGET)
        fields["thinking"] = {"type": "enabled", "budget_tokens": budget}
    return fields


def build_messages(items: Sequence[Item], model: str) -> list[dict[str, Any]]:
    """Return the conversation for the API. It begins with the user; it may end with the assistant."""
    messages: list[dict[str, Any]] = []
    turn: list[ReasoningItem | MessageItem | CallItem] = []

    def close() -> None:
        if turn:
            _add(messages, "assistant", _assistant_blocks(turn, model))
        turn.clear()

    for each in settled(items):
        match each:
            case ReasoningItem():
                close()
                turn.append(each)
            case MessageItem(role="assistant"):
                if any(not isinstance(said, ReasoningItem) for said in turn):
                    close()
                turn.append(each)
            case CallItem():
                turn.append(each)
            case MessageItem(content=content, files=files):
                close()
                text = user_text(content, files)
                attached = [*map(_document, each.documents), *map(_image, each.images)]
                _add(messages, "user", [*attached, *([_text(text)] if text else [])])
            case ResultItem(call_id=call_id, status=status, content=content):
                close()
                failed = {} if status == "ok" else {"is_error": True}
                result = {"type": "tool_result", "tool_use_id": tool_name(call_id), "content": content}
                _add(messages, "user", [result | failed])
            case _:
                close()
                _add(messages, "user", [_server_text(each.content)])
    close()
    if messages and messages[0]["role"] == "assistant":
        messages.insert(0, {"role": "user", "content": [_text(NO_TEXT)]})
    return messages


def encode_state(blocks: Sequence[Mapping[str, Any]], model: str) -> ProviderState | None:
    """Return what is to be given back with a reply: its thinking, and the place of that among its texts and calls.

    `blocks` are those of the reply. The text of thinking is not in the state, as the reply has it as its reasoning,
    where secrets are redacted; nor are texts and calls. None without thinking.
    """
    kept: list[Block] = []
    for each in blocks:
        match each["type"]:
            case "thinking":
                size = len(each["thinking"])
                kept.append({"type": "thinking", "size": size, "signature": each["signature"]})
            case "redacted_thinking":
                kept.append({"type": "redacted_thinking", "data": each["data"]})
            case "text":
                kept.append({"type": "text", "size": len(each["text"])})
            case "tool_use":
                kept.append({"type": "tool_use"})
    if not any("thinking" in each["type"] for each in kept):
        return None
    reasoning = "".join(each["thinking"] for each in blocks if each["type"] == "thinking")
    return ProviderState(PROVIDER, model, {"blocks": kept, "reasoning": _digest(reasoning)})


def _assistant_blocks(turn: Sequence[ReasoningItem | MessageItem | CallItem], model: str) -> list[Block]:
    """Return the blocks of one reply of the model."""
    text = "".join(each.content for each in turn if isinstance(each, MessageItem))
    calls = [_call(each) for each in turn if isinstance(each, CallItem)]
    reasoning = next((each for each in turn if isinstance(each, ReasoningItem)), None)
    kept = [] if reasoning is None else _kept_blocks(reasoning, model)
    texts = [each["size"] for each in kept if each["type"] == "text"]
    kinds = [each["type"] for each in kept]
    ordered = sum(texts) == len(text) and kinds.count("tool_use") == len(calls)
    if not ordered or (calls and kinds and kinds[-1] != "tool_use"):
        thinking = [each for each in kept if "thinking" in each["type"]]
        return [*thinking, *([_text(text)] if text.strip() else []), *calls]
    blocks: list[Block] = []
    at, waiting = 0, list(calls)
    for each in kept:
        match each["type"]:
            case "text":
                piece, at = text[at : at + each["size"]], at + each["size"]
                blocks += [_text(piece)] if piece.strip() else []
            case "tool_use":
                blocks.append(waiting.pop(0))
            case _:
                blocks.append(each)
    return blocks


def _kept_blocks(item: ReasoningItem, model: str) -> list[Block]:
    """Return the blocks of a reply by this model's own state, those of thinking whole; none if its text is changed."""
    match item.state:
        case ProviderState(provider="anthropic", model=of, value={"blocks": [*kept], "reasoning": digest}) if (
            of == model
        ):
            pass
        case _:
            return []
    if _digest(item.content) != digest:
        return []
    blocks, at = [], 0
    for each in kept:
        if each["type"] == "thinking":
            text, at = item.content[at : at + each["size"]], at + each["size"]
            each = {"type": "thinking", "thinking": text, "signature": each["signature"]}
        blocks.append(dict(each))
    return blocks


def _digest(text: str) -> str:
    return hashlib.blake2s(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def _begins_with_thinking(messages: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the last message with calls, if they are this run's newest, begins with thinking; True without one."""
    last: list[Block] = next((each["content"] for each in reversed(messages) if each["role"] == "assistant"), [])
    return not any(each["type"] == "tool_use" for each in last) or "thinking" in last[0]["type"]


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
    for each in [each for each in messages if each["role"] == "user"][-2:]:
        each["content"][-1]["cache_control"] = _MARK


def _text(text: str) -> Block:
    return {"type": "text", "text": text}


def _server_text(text: str) -> Block:
    return _text(f"{FROM_SERVER}\n{text}")


def _call(item: CallItem) -> Block:
    arguments = item.arguments if isinstance(item.arguments, dict) else {}
    return {"type": "tool_use", "id": tool_name(item.id), "name": tool_name(item.name), "input": arguments}


def _image(part: ImagePart) -> Block:
    source = {"type": "base64", "media_type": part.media_type, "data": base64.b64encode(part.content).decode()}
    return {"type": "image", "source": source}


def _document(part: DocumentPart) -> Block:
    data = base64.b64encode(part.content).decode()
    source = {"type": "base64", "media_type": "application/pdf", "data": data}
    return {"type": "document", "source": source, "title": part.name[:200]}
