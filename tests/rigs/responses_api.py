"""The events of the Responses API, as its server writes them; a `Script` of them is an answer of the fake provider."""

import json
from typing import Any

from tests.rigs.model_provider import Script


def event(kind: str, **fields: Any) -> bytes:
    """Return one event as its bytes."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, 'sequence_number': 0, **fields})}\n\n".encode()


def delta(kind: str, text: Any, place: Any = 0, **fields: Any) -> bytes:
    """Return a piece of something."""
    return event(f"response.{kind}.delta", output_index=place, item_id=f"i-{place}", delta=text, **fields)


def said(text: str, place: int = 0, part: int = 0) -> bytes:
    """Return a piece of text."""
    return delta("output_text", text, place, content_index=part, logprobs=[])


def thought(text: str, place: int = 0, part: int = 0) -> bytes:
    """Return a piece of a thought."""
    return delta("reasoning_summary_text", text, place, summary_index=part)


def done(place: int, kind: str, **fields: Any) -> bytes:
    """Return the end of an item."""
    item = {"type": kind, "id": f"{kind}-{place}", "status": "completed", **fields}
    return event("response.output_item.done", output_index=place, item=item)


def message(place: int, text: str, **fields: Any) -> bytes:
    """Return a whole message."""
    content = [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]
    return done(place, "message", role="assistant", content=content, **fields)


def call(place: int, name: str, arguments: str) -> bytes:
    """Return a call of a tool."""
    return done(place, "function_call", call_id=f"c-{place}", name=name, arguments=arguments)


def end(kind: str = "completed", **response: Any) -> bytes:
    """Return the end of a response."""
    usage = {
        "input_tokens": 40,
        "input_tokens_details": {"cached_tokens": 30, "cache_write_tokens": 0},
        "output_tokens": 9,
        "output_tokens_details": {"reasoning_tokens": 5},
        "total_tokens": 49,
    }
    whole = {"id": "resp-1", "object": "response", "status": kind, "output": [], "usage": usage, **response}
    return event(f"response.{kind}", response=whole)


STARTED = event("response.created", response={"id": "resp-1", "status": "in_progress", "output": []})


def script(*events: bytes, **more: Any) -> Script:
    """Return an answer of these events."""
    return Script([STARTED, *events], done=False, **more)
