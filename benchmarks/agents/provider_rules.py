"""The published rules of chat completions (OpenAI) and messages (Anthropic) for a request's input, as a validator.

Written from the providers' references, apart from the code that builds requests: it is what that code is judged by.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}\Z")
ID = re.compile(r"[a-zA-Z0-9_-]+\Z")
MAX_ID = 40
MAX_TOOLS = 128
PARTS = {"text", "image_url"}


def faults(body: Mapping[str, Any]) -> list[str]:
    """Return why the providers would refuse a request; empty if both accept it."""
    return [*_completions(body), *_messages(body)]


def _completions(body: Mapping[str, Any]) -> Iterator[str]:
    """Chat completions: roles, contents, and calls that are followed by one result each."""
    names = [tool.get("function", {}).get("name") for tool in body.get("tools", ())]
    if len(names) > MAX_TOOLS or len(set(names)) != len(names):
        yield "tools: too many, or a name twice"
    yield from (f"tools: bad name {name!r}" for name in names if not (isinstance(name, str) and NAME.match(name)))
    if "tools" in body and not names:
        yield "tools: empty"
    choice = body.get("tool_choice", "auto")
    if isinstance(choice, dict) and choice.get("function", {}).get("name") not in names:
        yield "tool_choice: not among the tools"
    if "tool_choice" in body and not names:
        yield "tool_choice without tools"
    if not body.get("messages"):
        yield "no messages"
    waiting: list[str] = []
    for number, message in enumerate(body["messages"]):
        role, content = message.get("role"), message.get("content")
        if role == "tool":
            if message.get("tool_call_id") not in waiting:
                yield f"message {number}: a result without a call directly before it"
            else:
                waiting.remove(message["tool_call_id"])
            if not isinstance(content, str) or not content:
                yield f"message {number}: an empty result"
            continue
        if waiting:
            yield f"message {number}: calls without a result before it"
            waiting = []
        if role not in ("system", "developer", "user", "assistant"):
            yield f"message {number}: role {role!r}"
        calls = message.get("tool_calls")
        if calls is not None and (role != "assistant" or not calls):
            yield f"message {number}: tool_calls of {role}, or none"
        if not (_is_content(content) or (content is None and calls)):
            yield f"message {number}: empty content"
        for call in calls or ():
            yield from (f"message {number}: {fault}" for fault in _call_faults(call))
            waiting.append(call["id"])
    if waiting:
        yield "calls without a result at the end"
    ids = [call["id"] for message in body["messages"] for call in message.get("tool_calls") or ()]
    if len(set(ids)) != len(ids):
        yield "an id of a call twice"


def _is_content(content: Any) -> bool:
    if isinstance(content, str):
        return bool(content)
    return (
        isinstance(content, list)
        and bool(content)
        and all(part.get("type") in PARTS and (part["type"] != "text" or part.get("text")) for part in content)
    )


def _call_faults(call: Mapping[str, Any]) -> Iterator[str]:
    if call.get("type") != "function" or not (0 < len(call.get("id", "")) <= MAX_ID):
        yield "a call's type or id"
    if not NAME.match(call["function"].get("name", "")):
        yield f"a call's name {call['function'].get('name')!r}"
    try:
        if not isinstance(json.loads(call["function"]["arguments"]), dict):
            yield "arguments that are no object"
    except (TypeError, ValueError):
        yield "arguments that are no JSON"


def _messages(body: Mapping[str, Any]) -> Iterator[str]:
    """Anthropic's messages, translated block by block: alternating roles, results first, tools defined."""
    turns: list[tuple[str, list[dict[str, Any]]]] = []
    for number, message in enumerate(body["messages"]):
        role, content = message["role"], message.get("content")
        if role == "system" and number == 0:
            continue
        blocks: list[dict[str, Any]] = []
        if role == "tool":
            blocks.append({"type": "tool_result", "id": message.get("tool_call_id"), "text": content})
        elif isinstance(content, list):
            blocks += [{"type": part["type"], "text": part.get("text", "-")} for part in content]
        elif content is not None:
            blocks.append({"type": "text", "text": content})
        blocks += [{"type": "tool_use", "id": call["id"], "text": "-"} for call in message.get("tool_calls") or ()]
        side = "assistant" if role == "assistant" else "user"
        if turns and turns[-1][0] == side:
            turns[-1][1].extend(blocks)
        else:
            turns.append((side, blocks))
    if not turns or turns[0][0] != "user":
        yield "messages: the first is not the user's"
    if turns and turns[-1][0] != "user":
        yield "messages: the last is not the user's"
    wanted: list[str] = []
    for side, blocks in turns:
        leading = 0
        while leading < len(blocks) and blocks[leading]["type"] == "tool_result":
            leading += 1
        if side == "user":
            results = [block["id"] for block in blocks[:leading]]
            if sorted(results) != sorted(wanted):
                yield "messages: results do not answer the calls before them, at once and first"
            if any(block["type"] == "tool_result" for block in blocks[leading:]):
                yield "messages: a result after other content"
        if any(not str(block["text"]).strip() for block in blocks):
            yield "messages: an empty block"
        wanted = [block["id"] for block in blocks if block["type"] == "tool_use"]
        if side == "assistant" and wanted and blocks[-1]["type"] != "tool_use":
            yield "messages: text after a call"
        if any(not ID.match(call_id) for call_id in wanted):
            yield "messages: an id with other characters"
        if wanted and not body.get("tools"):
            yield "messages: calls without tools in the request"
