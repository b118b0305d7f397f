"""Rewrites the messages of a request for servers whose chat template supports less than the API. Pure."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, TypeAlias

from understudy.models.faults import wording

_Body: TypeAlias = dict[str, Any]
_Message: TypeAlias = dict[str, Any]
MIN_BUDGET: Final = 1_024
"""Tokens of the smallest budget for thinking that the Messages API takes."""
BUDGETS: Final = {"low": 0.25, "medium": 0.5, "high": 0.8, "xhigh": 0.9, "max": 0.95}
CALLS: Final = "(I use tools.)"
"""The text of a reply with calls and no text, for servers that refuse an empty one."""


def next_way(words: str, sent: Mapping[str, Any], known: Collection[str], *, sure: bool) -> str:
    """Return the way that a refusal of the request `sent` asks for, empty for none. Unless `sure`, any error of a chat
    template asks for the first way that changes the request."""
    for name, (asking, write) in WAYS.items():
        if name not in known and (asking if sure else _TEMPLATE).search(words) and write({**sent}) != sent:
            return name
    return ""


def _each(change: Callable[[_Message], _Message]) -> Callable[[_Body], _Body]:
    """Return a function that applies `change` to each message of a request."""
    return lambda body: body | {name: [*map(change, body[name])] for name in ("messages", "input") if name in body}


def _filled(text: str) -> Callable[[_Body], _Body]:
    def fill(message: _Message) -> _Message:
        return message | {"content": message["content"] or text} if "content" in message else message

    return _each(fill)


def _without_system(body: _Body) -> _Body:
    """Put the system message, or the instructions, in front of the first message of the user."""
    name = "messages" if "messages" in body else "input"
    first, *rest = body[name]
    text = body.pop("instructions", "")
    if first.get("role") == "system":
        text, (first, *rest) = first["content"], rest or [{"role": "user", "content": ""}]
    if not text:
        return body
    opening = {"role": "user", "content": text}
    return body | {name: [_joined(opening, first), *rest] if first.get("role") == "user" else [opening, first, *rest]}


def _without_tool_role(body: _Body) -> _Body:
    """Write calls and their results as texts of the assistant and the user, which then alternate."""
    messages: list[_Message] = []
    for message in body.get("messages", ()):
        if message["role"] == "tool":
            message = {"role": "user", "content": f"[Result of a tool: {message['content']}]"}
        elif calls := message.get("tool_calls"):
            lines = [f"[Call of a tool: {call['function']['name']} {call['function']['arguments']}]" for call in calls]
            message = {"role": "assistant", "content": "\n".join(filter(None, (message["content"], *lines)))}
        if messages and messages[-1]["role"] == message["role"]:
            message = _joined(messages.pop(), message)
        messages.append(message)
    return body | ({"messages": messages} if messages else {})


def _with_budget(body: _Body) -> _Body:
    """Give a model of an earlier generation a budget for thinking: a share of its longest reply, by the effort.
    Thinking is left out after a call of this run that was made without thinking, as the API refuses it then."""
    if (body.get("thinking") or {}).get("type") != "adaptive":
        return body
    replies = [message["content"] for message in body["messages"] if message["role"] == "assistant"]
    last = replies[-1] if replies else []
    resumable = not any(block["type"] == "tool_use" for block in last) or "thinking" in last[0]["type"]
    budget = max(int(body["max_tokens"] * BUDGETS[body["output_config"]["effort"]]), MIN_BUDGET)
    others = {name: value for name, value in body.items() if name != "thinking"}
    return others | ({"thinking": {"type": "enabled", "budget_tokens": budget}} if resumable else {})


def _joined(one: _Message, other: _Message) -> _Message:
    """Return two messages of one role as one."""
    mine, theirs = one["content"], other["content"]
    if isinstance(mine, str) and isinstance(theirs, str):
        return one | {"content": "\n\n".join(filter(None, (mine, theirs)))}
    return one | {"content": [*_parts(mine), *_parts(theirs)]}


def _parts(content: Any) -> list[Any]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


_TEMPLATE: Final = wording(r"template|jinja|conversation roles|roles must alternate|at row \d|only user.{0,9}assistant")
_NOT: Final = r"(not |n't |unsupported|unknown|invalid|unexpected|extra|got )"
WAYS: Final = {
    "content null": (
        wording(
            r"\bcontent\b.{0,80}(null|none|string|missing|required|must|invalid)|(invalid|missing).{0,9}content|null at"
            r"|nonetype"
        ),
        _filled(""),
    ),
    "content empty": (
        wording(r"\bcontent\b.{0,80}(empty|blank|required|must|invalid)|empty.{0,40}\bcontent\b|non-?empty"),
        _filled(CALLS),
    ),
    "system as text": (
        wording(r"\bsystem\b.{0,60}(string|str\b)"),
        lambda body: body | {"system": body["system"][0]["text"]} if isinstance(body.get("system"), list) else body,
    ),
    "thinking with a budget": (wording(r"adaptive|thinking\.type"), _with_budget),
    "no developer role": (
        wording(r"developer|\brole\b"),
        _each(lambda message: message | {"role": "user"} if message.get("role") == "developer" else message),
    ),
    "no system role": (
        wording(rf"\b(system|instructions?)\b.{{0,40}}{_NOT}|{_NOT}.{{0,40}}\b(system|instructions)\b"),
        _without_system,
    ),
    "no tool role": (
        wording(
            r"\broles?\b.{0,60}\btool\b|\btool\b.{0,20}\brole|variant .?tool\b|only user.{0,9}assistant"
            r"|unexpected message role|roles must alternate"
        ),
        _without_tool_role,
    ),
}
"""All ways by name, in the order in which they are tried and applied: the words that ask for one, and its function."""
