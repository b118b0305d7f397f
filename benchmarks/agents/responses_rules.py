"""The rules of OpenAI's Responses API for a request, as a validator: its types are the `openai` package's own.

The types are those of version 3; what they leave open (the order of items) is written from the provider's reference.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

MAX_CALL_ID = 64


@cache
def _adapter() -> Any:
    from openai.types.responses.response_create_params import ResponseCreateParamsStreaming
    from pydantic import TypeAdapter

    return TypeAdapter(ResponseCreateParamsStreaming)


def faults(body: Mapping[str, Any]) -> list[str]:
    """Return why the provider would refuse a request; empty if it accepts it."""
    return [*_types(body), *_order(body)]


def _types(body: Mapping[str, Any]) -> Iterator[str]:
    from pydantic import ValidationError

    try:
        read = _plain(_adapter().validate_python(body, strict=True))
    except ValidationError as error:
        yield from (f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()[:5])
        return
    if read != body:  # the types leave out what they do not know
        yield f"unknown fields: {json.dumps(body)[:300]}"


def _plain(value: Any) -> Any:
    """Return a validated value as plain data; iterables are validated by this only."""
    if isinstance(value, Mapping):
        return {name: _plain(member) for name, member in value.items()}
    if isinstance(value, str | bytes) or not hasattr(value, "__iter__"):
        return value
    return [_plain(member) for member in value]


def _order(body: Mapping[str, Any]) -> Iterator[str]:
    names = [tool["name"] for tool in body.get("tools", ())]
    if len(set(names)) != len(names):
        yield "tools: a name twice"
    choice = body.get("tool_choice", "auto")
    if isinstance(choice, dict) and choice["name"] not in names:
        yield "tool_choice: not among the tools"
    waiting: list[str] = []
    called: set[str] = set()
    items = body["input"]
    if not items:
        yield "no input"
    for number, item in enumerate(items):
        kind = item.get("type", "message")
        if kind == "function_call":
            if item["call_id"] in called or len(item["call_id"]) > MAX_CALL_ID:
                yield f"item {number}: call id twice, or too long"
            called.add(item["call_id"])
            waiting.append(item["call_id"])
            if not isinstance(json.loads(item["arguments"]), dict):
                yield f"item {number}: arguments"
        elif kind == "function_call_output":
            if item["call_id"] not in waiting:
                yield f"item {number}: a result without its call"
            else:
                waiting.remove(item["call_id"])
            if not item["output"]:
                yield f"item {number}: an empty result"
        elif kind == "reasoning":
            following = next((item for item in items[number + 1 :] if item.get("type") != "reasoning"), {})
            if following.get("type") != "function_call" and following.get("role") != "assistant":
                yield f"item {number}: reasoning without what followed it"
            if not item.get("encrypted_content"):
                yield f"item {number}: reasoning that is not stored"
        else:
            if waiting:
                yield f"item {number}: calls without a result before it"
                waiting = []
            if not item["content"]:
                yield f"item {number}: empty content"
    if waiting:
        yield "calls without a result at the end"
    last = items[-1] if items else {}
    if last.get("role") == "assistant" or last.get("type") == "reasoning":
        yield "the last item is the model's own"
