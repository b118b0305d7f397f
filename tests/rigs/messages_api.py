"""Events of Anthropic's Messages API, as a server streams them."""

import json
from typing import Any


def event(kind: str, **fields: Any) -> bytes:
    """Return one event as its bytes."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


PING = event("ping")


def start(**usage: int) -> bytes:
    """Begin a message."""
    counted = {"input_tokens": 7, "output_tokens": 1, **usage}
    empty: dict[str, Any] = {"content": [], "stop_reason": None, "stop_sequence": None, "usage": counted}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "tiny", **empty}
    return event("message_start", message=message)


def block(index: int, begin: dict[str, Any], *deltas: dict[str, Any]) -> list[bytes]:
    """Return a block: its begin, its pieces and its end."""
    pieces = [event("content_block_delta", index=index, delta=delta) for delta in deltas]
    return [
        event("content_block_start", index=index, content_block=begin),
        *pieces,
        event("content_block_stop", index=index),
    ]


def text(index: int, *pieces: str) -> list[bytes]:
    """Return a block of text."""
    return block(index, {"type": "text", "text": ""}, *({"type": "text_delta", "text": piece} for piece in pieces))


def thinking(index: int, signature: str, *pieces: str) -> list[bytes]:
    """Return a block of thoughts, with their signature."""
    deltas = [{"type": "thinking_delta", "thinking": piece} for piece in pieces]
    begin = {"type": "thinking", "thinking": "", "signature": ""}
    return block(index, begin, *deltas, {"type": "signature_delta", "signature": signature})


def redacted(index: int, data: str) -> list[bytes]:
    """Return a block of thoughts that nobody may read."""
    return block(index, {"type": "redacted_thinking", "data": data})


def call(index: int, call_id: str, name: str, *pieces: str) -> list[bytes]:
    """Return a block that calls a tool."""
    deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
    return block(index, {"type": "tool_use", "id": call_id, "name": name, "input": {}}, *deltas)


def end(reason: str | None, output: int = 2, **usage: Any) -> list[bytes]:
    """End a message."""
    delta = {"stop_reason": reason, "stop_sequence": None}
    return [event("message_delta", delta=delta, usage={"output_tokens": output, **usage}), event("message_stop")]


def message(*blocks: list[bytes], reason: str = "end_turn") -> list[bytes]:
    """Return a whole message."""
    return [start(), *(chunk for events in blocks for chunk in events), *end(reason)]


def failure(kind: str, said: str = "") -> bytes:
    """Return an error in the stream."""
    return event("error", error={"type": kind, "message": said})
