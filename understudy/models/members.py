"""Reads members of what a provider has sent: an object of JSON, or one that an SDK has made of it unchecked. Pure."""

from collections.abc import Mapping
from typing import Any

from understudy.models.model import ModelUnavailable


def member(given: Any, name: str) -> Any:
    """Return a member of an object; None without it. Raises TypeError for what is no object."""
    if isinstance(given, str | float | int | list):
        raise TypeError
    return given.get(name) if isinstance(given, Mapping) else getattr(given, name, None)


def further(given: Any) -> Mapping[str, Any]:
    """Return the members that the SDK does not know."""
    return given if isinstance(given, Mapping) else given.model_extra or {}


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


def unreadable(why: str) -> ModelUnavailable:
    """Return the error of an answer that cannot be read, or contradicts itself; `why` is for the log."""
    return ModelUnavailable("The language model sent something unreadable.", True, why)
