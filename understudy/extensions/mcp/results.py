"""Converts results of MCP servers to results of tools: texts, values, files and links. Pure except for saving files."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from understudy.tools.context import Files
from understudy.tools.errors import ToolError
from understudy.tools.result import MAX_VALUE_BYTES, ToolResult

MAX_BLOCKS: Final = 200
"""Limit of the blocks of a result that are read; the result says how many are left out."""
MAX_FILES: Final = 8
"""Limit of the files (images, sounds and others) of one result that are stored for the user."""
MAX_ERROR: Final = 1000
"""Limit of an error's text in characters; the rest is cut off."""

_NO_VALUES: Final = ("content", "structuredContent", "isError", "resultType", "_meta")


async def to_tool_result(result: Mapping[str, Any], name: str, files: Files) -> ToolResult:
    """Convert the server's unchanged `result` of a call. `files` stores files for the user.

    The value is the structured content, or else the text; with files, links or several blocks it is a list of them. A
    malformed block is described in its place, because the call took effect and the other blocks are still useful.
    Raises `ToolError` ``tool_failed`` with the server's reason if the server reports a failure.
    """
    blocks, structured = read_blocks(result.get("content")), result.get("structuredContent")
    if not blocks and structured is None:  # a result of another form, such as that of the protocol 2024-10-07
        structured = {name: value for name, value in result.items() if name not in _NO_VALUES} or None
    if result.get("isError") in (True, "true"):
        raise ToolError("tool_failed", f"{name} failed: {_reason(blocks, structured)[:MAX_ERROR]}")
    items: list[Any] = []
    count = 0
    for block in blocks[:MAX_BLOCKS]:
        text = read_text(block)
        if text is not None:
            if structured is None or not _repeats(text, structured):
                items.append(text)
            continue
        content, media_type = _content(block)
        if content is None:
            items.append(_described(block))
            continue
        count += 1
        left_out = {"left_out": f"a result may have {MAX_FILES} files"}
        items.append(left_out if count > MAX_FILES else await _save(content, media_type, f"{name}-{count}", files))
    if len(blocks) > MAX_BLOCKS:
        items.append(f"{len(blocks) - MAX_BLOCKS:,} more blocks are left out.")
    if structured is not None:
        return ToolResult(structured if not items else {"result": structured, "content": items})
    return ToolResult(items[0] if len(items) == 1 else items)


def read_blocks(content: Any) -> list[Mapping[str, Any]]:
    """Return the blocks of a content, which may be a list of blocks, a single block, or a bare text."""
    parts = content if isinstance(content, list) else [] if content is None else [content]
    return [block if isinstance(block, Mapping) else {"type": "text", "text": block} for block in parts]


def read_text(block: Mapping[str, Any]) -> str | None:
    """Return the text of a text block, also of a malformed one; None for a block of another type."""
    text = block.get("text")
    if block.get("type", "text") != "text" or (text is None and "type" not in block):
        return None
    return text if isinstance(text, str) else "" if text is None else _json(text)


def _reason(blocks: Sequence[Mapping[str, Any]], structured: Any) -> str:
    """Return the reason of a failed call: all texts of its result, and its structured content if that differs."""
    words = " ".join(filter(None, map(_words, blocks[:MAX_BLOCKS])))
    if structured and not _repeats(words, structured):
        while isinstance(structured, Mapping) and len(structured) == 1:  # {"error": {"message": "…"}}
            (structured,) = structured.values()
        words = f"{words} {structured if isinstance(structured, str) else _json(structured)}".strip()
    return words or "it gave no reason"


async def _save(content: str, media_type: str, stem: str, files: Files) -> dict[str, Any]:
    """Store an encoded file for the user. Return its description for the model, or the reason if it is left out."""
    encoded = "".join(content.rpartition(",")[2].split())  # some servers send a data URL
    try:
        data = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        return {"left_out": "a file that is not base64", "media_type": media_type}
    suffix = media_type.partition("/")[2].partition("+")[0] or "bin"
    name = f"{stem}.{suffix if suffix.isalnum() else 'bin'}"
    try:
        file = await files.save(name, media_type, data)
        return {"file": file.id, "name": name, "media_type": media_type, "size": len(data)}
    except ValueError as error:
        return {"left_out": str(error)[:200], "media_type": media_type, "size": len(data)}


def _words(block: Mapping[str, Any]) -> str:
    """Return the text of a block or of its embedded resource, or else its JSON; empty for a block with a file."""
    text = read_text(block)
    if text is None:
        text = embedded(block).get("text")
    if text is None and _content(block)[0] is None:
        return _json(block)
    return text if isinstance(text, str) else ""


def embedded(block: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the object with the members of a block: the resource that it embeds, or the block itself."""
    inner = block.get("resource") if block.get("type") == "resource" else block
    return inner if isinstance(inner, Mapping) else {}


def _content(block: Mapping[str, Any]) -> tuple[str | None, str]:
    """Return the encoded content and the media type of a block with a file; None if it has none."""
    inner = embedded(block)
    content = inner.get("data") if inner is block else inner.get("blob")
    media_type = str(inner.get("mimeType") or "application/octet-stream")[:100]
    return (content if isinstance(content, str) else None), media_type


def _described(block: Mapping[str, Any]) -> Any:
    """Return a block without a file as JSON; of a link or an embedded text, only the members for models."""
    inner = embedded(block) if block.get("type") in ("resource", "resource_link") else {}
    names = ("uri", "name", "title", "description", "mimeType", "text")
    return {name: inner[name] for name in names if inner.get(name) is not None} or dict(block)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _repeats(text: str, structured: Any) -> bool:
    """Return whether a text repeats the structured content, as servers send it for older clients."""
    if len(text) > 2 * MAX_VALUE_BYTES:
        return False
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        value = text
    return bool(value == structured or structured == {"result": value} or structured == {"result": text})
