"""Reads members of the JSON that a provider has sent, whatever stands in their places. Pure."""

from collections.abc import Mapping
from typing import Any

import msgspec


def member(given: Any, name: str) -> Any:
    """Return a member of an object, None without it; None of null. Raises TypeError for what is no object."""
    if given is None:
        return None
    if not isinstance(given, Mapping):
        raise TypeError
    return given.get(name)


def written(value: Any) -> str:
    """Return a text of JSON: some servers send the value in its place. Null is an empty text."""
    return "" if value is None else value if isinstance(value, str) else msgspec.json.encode(value).decode()


def texts(content: Any) -> tuple[str, str]:
    """Return the text and the reasoning in a `content`: a text, or parts. Raises TypeError."""
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
        said = "".join(texts(inner))
        if "think" in kind or "reason" in kind:
            reasoning += said
        elif "text" in kind:
            text += said
    return text, reasoning
