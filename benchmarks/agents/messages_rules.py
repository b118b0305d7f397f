"""The published rules of Anthropic's Messages API for a request, as a validator.

Written from the provider's reference, apart from the code that builds requests: it is what that code is judged by.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.agents.provider_rules import ID, NAME

MAX_MARKS = 4
USER = {"text", "image", "document", "tool_result"}
ASSISTANT = {"text", "thinking", "redacted_thinking", "tool_use"}


def message_faults(body: Mapping[str, Any]) -> list[str]:
    """Return why the provider would refuse a request; empty if it accepts it."""
    return [*_tools(body), *_thinking(body), *_marks(body), *_messages(body["messages"], "tools" in body)]


def _tools(body: Mapping[str, Any]) -> Iterator[str]:
    names = [each.get("name") for each in body.get("tools", ())]
    if ("tools" in body and not names) or len(set(names)) != len(names):
        yield "tools: none, or a name twice"
    yield from (f"tools: bad name {name!r}" for name in names if not (isinstance(name, str) and NAME.match(name)))
    yield from (
        "tools: a schema that is no object"
        for each in body.get("tools", ())
        if each["input_schema"]["type"] != "object"
    )
    choice = body.get("tool_choice", {"type": "auto"})
    if choice["type"] not in ("auto", "any", "tool", "none") or (choice["type"] == "none" and len(choice) > 1):
        yield "tool_choice: unknown"
    if "tool_choice" in body and not names:
        yield "tool_choice without tools"
    if choice["type"] == "tool" and choice.get("name") not in names:
        yield "tool_choice: not among the tools"


def _thinking(body: Mapping[str, Any]) -> Iterator[str]:
    thinking, choice = body.get("thinking", {"type": "disabled"}), body.get("tool_choice", {"type": "auto"})
    if not body.get("max_tokens", 0) > 0:
        yield "max_tokens: missing"
    if thinking["type"] == "disabled":
        return
    if "temperature" in body:
        yield "temperature with thinking"
    if choice["type"] in ("any", "tool"):
        yield "a forced tool with thinking"
    if thinking["type"] == "enabled":
        if not 1_024 <= thinking["budget_tokens"] < body["max_tokens"]:
            yield "thinking: a budget out of its bounds"
        said = [each["content"] for each in body["messages"] if each["role"] == "assistant"]
        if said and any(each["type"] == "tool_use" for each in said[-1]) and "thinking" not in said[-1][0]["type"]:
            yield "thinking: the last calls were made without"


def _marks(body: Mapping[str, Any]) -> Iterator[str]:
    blocks = [*body.get("tools", ()), *body.get("system", ())]
    blocks += [each for message in body["messages"] for each in message["content"]]
    marked = [block for block in blocks if "cache_control" in block]
    if len(marked) > MAX_MARKS:
        yield "cache_control: more than four"
    if any("thinking" in each.get("type", "") or each.get("text", "-") == "" for each in marked):
        yield "cache_control: on thinking, or on an empty text"


def _messages(messages: Sequence[Mapping[str, Any]], tools: bool) -> Iterator[str]:
    if not messages or messages[0]["role"] != "user" or messages[-1]["role"] != "user":
        yield "messages: the first or the last is not the user's"
    wanted: list[str] = []
    ids: list[str] = []
    for number, message in enumerate(messages):
        role, blocks = message["role"], message["content"]
        if role != ("user", "assistant")[number % 2]:
            yield f"messages.{number}: two of {role}"
        if not blocks or any(block["type"] not in (USER if role == "user" else ASSISTANT) for block in blocks):
            yield f"messages.{number}: no blocks, or foreign ones"
        if any(block["type"] == "text" and not block["text"].strip() for block in blocks):
            yield f"messages.{number}: an empty text"
        if any(block["type"] == "thinking" and not block["signature"] for block in blocks):
            yield f"messages.{number}: thinking without its signature"
        kinds = [block["type"] for block in blocks]
        results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        if results != wanted or kinds[: len(results)] != ["tool_result"] * len(results):
            yield f"messages.{number}: results do not answer the calls before them, at once and first"
        if any(block["type"] == "tool_result" and not str(block["content"]).strip() for block in blocks):
            yield f"messages.{number}: an empty result"
        wanted = [block["id"] for block in blocks if block["type"] == "tool_use"]
        ids += wanted
        if wanted and (kinds[-1] != "tool_use" or not tools):
            yield f"messages.{number}: text after a call, or calls without tools in the request"
        for block in blocks:
            if block["type"] == "tool_use" and not (ID.match(block["id"]) and NAME.match(block["name"])):
                yield f"messages.{number}: a bad id or name"
    if wanted:
        yield "messages: calls without a result at the end"
    if len(set(ids)) != len(ids):
        yield "messages: an id of a call twice"
