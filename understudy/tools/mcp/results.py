"""The results of MCP servers as those of tools: texts, values, files and links. Pure but for saving files."""

import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from understudy.tools.errors import ToolError
from understudy.tools.result import MAX_VALUE_BYTES, ToolResult

MAX_BLOCKS: Final = 200
"""Blocks of a result that are read; the result says how many are left out."""
MAX_FILES: Final = 8
"""Images, sounds and other files of one result that are stored for the user."""
MAX_ERROR: Final = 1000
"""Characters of an error's text."""

Save: TypeAlias = Callable[[str, str, bytes], Awaitable[str]]
"""Stores a file (name, media type, content) for the user, and returns its id. Raises ValueError if it is too large."""


async def to_tool_result(said: Mapping[str, Any], name: str, save: Save) -> ToolResult:
    """Return the result of a call as a tool's: `said` is the server's, as plain JSON.

    The value is the structured content, or else the text; with files, links or several blocks it is a list of them.
    Raises `ToolError` ``tool_failed`` with the server's text if it says that the call failed.
    """
    blocks = said.get("content") or ()
    if said.get("isError"):
        text = " ".join(_texts(blocks)) or "it gave no reason"
        raise ToolError("tool_failed", f"{name} failed: {text[:MAX_ERROR]}")
    structured = said.get("structuredContent")
    items: list[Any] = []
    saved = 0
    for each in blocks[:MAX_BLOCKS]:
        if each.get("type") == "text":
            text = str(each.get("text", ""))
            if structured is None or not _repeats(text, structured):
                items.append(text)
            continue
        content, media_type = _content(each)
        if content is None:
            items.append(_described(each))
            continue
        saved += 1
        items.append(await _save(content, media_type, f"{name}-{saved}", save) if saved <= MAX_FILES else _dropped())
    if len(blocks) > MAX_BLOCKS:
        items.append(f"{len(blocks) - MAX_BLOCKS:,} more blocks are left out.")
    if structured is not None:
        return ToolResult(structured if not items else {"result": structured, "content": items})
    return ToolResult(items[0] if len(items) == 1 else items)


async def _save(content: str, media_type: str, stem: str, save: Save) -> dict[str, Any]:
    """Store an encoded file for the user. Return what the model is told of it."""
    try:
        data = base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError):
        return {"left_out": "a file that is not base64", "media_type": media_type}
    suffix = media_type.partition("/")[2].partition("+")[0] or "bin"
    name = f"{stem}.{suffix if suffix.isalnum() else 'bin'}"
    try:
        return {"file": await save(name, media_type, data), "name": name, "media_type": media_type, "size": len(data)}
    except ValueError as error:
        return {"left_out": str(error)[:200], "media_type": media_type, "size": len(data)}


def _dropped() -> dict[str, Any]:
    return {"left_out": f"a result may have {MAX_FILES} files"}


def _content(block: Mapping[str, Any]) -> tuple[str | None, str]:
    """Return the encoded content and the media type of a block with a file; None if it has none."""
    inner = block.get("resource") if block.get("type") == "resource" else block
    if not isinstance(inner, Mapping):
        return None, ""
    content = inner.get("blob") if inner is not block else inner.get("data")
    media_type = str(inner.get("mimeType") or "application/octet-stream")[:100]
    return (content if isinstance(content, str) else None), media_type


def _described(block: Mapping[str, Any]) -> Any:
    """Return a block without a file as JSON: a link, or an embedded text."""
    inner = block.get("resource") if block.get("type") == "resource" else block
    if not isinstance(inner, Mapping):
        return {"left_out": "a block of an unknown kind"}
    names = ("uri", "name", "title", "description", "mimeType", "text")
    return {name: inner[name] for name in names if inner.get(name) is not None} or {
        "left_out": "a block of an unknown kind"
    }


def _texts(blocks: Sequence[Mapping[str, Any]]) -> list[str]:
    return [str(each.get("text", "")) for each in blocks[:MAX_BLOCKS] if each.get("type") == "text"]


def _repeats(text: str, structured: Any) -> bool:
    """Return whether a text is the structured content once more, as servers send it for older clients."""
    if len(text) > 2 * MAX_VALUE_BYTES:
        return False
    try:
        said = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        said = text
    return bool(said == structured or structured == {"result": said} or structured == {"result": text})
