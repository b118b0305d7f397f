"""Reads members of JSON from providers, which may have other types than the API says. Pure."""

from collections.abc import Mapping
from typing import Any

import msgspec


def member(value: Any, name: str) -> Any:
    """Return a member of an object, None without it or if `value` is null. Raises TypeError if it is no object."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise TypeError
    return value.get(name)


def written(value: Any) -> str:
    """Return a member that should be JSON text; encode it if a server sent the value instead. Null: empty."""
    return "" if value is None else value if isinstance(value, str) else msgspec.json.encode(value).decode()


def texts(content: Any) -> tuple[str, str]:
    """Return the text and the reasoning in a `content`: a text, a part or a list of parts. Raises TypeError."""
    if content is None or isinstance(content, str):
        return content or "", ""
    if isinstance(content, Mapping):
        content = [content]
    if not isinstance(content, list):
        raise TypeError
    text, reasoning = "", ""
    for part in content:
        if isinstance(part, str):
            text += part
            continue
        kind = str(member(part, "type") or "text")
        names = ("text", kind, "content", "summary")
        inner = next((value for name in names if (value := member(part, name)) is not None), None)
        inner_text = "".join(texts(inner))
        if "think" in kind or "reason" in kind:
            reasoning += inner_text
        elif "text" in kind:
            text += inner_text
    return text, reasoning
