"""The objects of the Responses API that represent a run: ids, the response, its output items, its usage. Pure.

A run is one response, or several in a row if it waits for tools of its client: each ends when the run begins to wait,
and the next begins with the results. The first has the run's id, a later one also its number, from 1.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from attrs import field, frozen

from transport.wire.events import Error
from understudy.wire.events import ANSWER, Envelope, MessageAccepted, Usage

JsonValue: TypeAlias = dict[str, Any]

ABOUT: Final = "responses"
"""The key under which the fields of a `ResponseRequest` are stored in the `metadata` of its message's settings."""
_ID: Final = re.compile(r"resp_([0-9a-f]{32})(?:_([1-9][0-9]{0,5}))?\Z")
_FAILURES: Final = {"content_blocked": "invalid_prompt", "rate_limited": "rate_limit_exceeded"}


@frozen
class ResponseId:
    """The id of a response: the id of the run, and the number of the response in it, from 0."""

    run_id: str
    part: int = 0

    def __str__(self) -> str:
        return f"resp_{self.run_id}" + (f"_{self.part}" if self.part else "")

    @classmethod
    def parse(cls, text: str) -> "ResponseId | None":
        """Parse an id, and return None if the text is none."""
        match = _ID.match(text)
        return None if match is None else cls(match[1], int(match[2] or 0))

    @property
    def previous(self) -> "ResponseId | None":
        """The id of the run's response before this one, None for its first."""
        return ResponseId(self.run_id, self.part - 1) if self.part else None


@frozen
class ResponseRequest:
    """The fields of a request that its response repeats. They are stored in the message's settings.

    `model` is the name of the agent, `metadata` are the client's own values.
    """

    model: str = ""
    metadata: Mapping[str, str] = field(factory=dict)
    previous: str | None = None
    background: bool = False
    store: bool = True
    instructions: str | None = field(default=None, repr=False)
    tools: Sequence[JsonValue] = field(default=(), repr=False)
    conversation: str | None = None

    @property
    def settings(self) -> JsonValue:
        """The settings of a message that store this request."""
        about = {"model": self.model, "background": self.background, "store": self.store, "previous": self.previous}
        kept = {"metadata": {ABOUT: {**about, "metadata": dict(self.metadata)}}}
        fields = {"instructions": self.instructions, "tools": list(self.tools) or None}
        return kept | {name: value for name, value in fields.items() if value is not None}

    @classmethod
    def of(cls, envelope: Envelope, accepted: MessageAccepted) -> "ResponseRequest":
        """Return the request of an accepted message; for a message of another door, with the fields that are known."""
        settings = accepted.settings or {}
        about = (settings.get("metadata") or {}).get(ABOUT) or {}
        previous = accepted.parent_id and str(ResponseId(accepted.parent_id.removeprefix(ANSWER)))
        return cls(
            about.get("model") or envelope.pillar or envelope.agent_type or "",
            about.get("metadata") or {},
            about.get("previous") or previous or None,
            bool(about.get("background", False)),
            bool(about.get("store", True)),
            settings.get("instructions"),
            settings.get("tools") or (),
            envelope.thread_id,
        )


def response_object(request: ResponseRequest, name: ResponseId, created_at: float) -> JsonValue:
    """Return a response that has just begun."""
    previous = request.previous if name.previous is None else str(name.previous)
    return {
        "id": str(name),
        "object": "response",
        "created_at": int(created_at),
        "status": "in_progress",
        "completed_at": None,
        "background": request.background,
        "conversation": None if request.conversation is None else {"id": request.conversation},
        "error": None,
        "frequency_penalty": 0,
        "incomplete_details": None,
        "instructions": request.instructions,
        "max_output_tokens": None,
        "max_tool_calls": None,
        "metadata": dict(request.metadata),
        "model": request.model,
        "output": [],
        "parallel_tool_calls": True,
        "presence_penalty": 0,
        "previous_response_id": previous,
        "prompt_cache_key": None,
        "reasoning": {"effort": None, "summary": None},
        "safety_identifier": None,
        "service_tier": "default",
        "store": request.store,
        "temperature": 1,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [
            {
                "type": "function",
                "name": tool["name"],
                "description": tool.get("description"),
                "parameters": tool.get("parameters", {}),
                "strict": False,
            }
            for tool in request.tools
        ],
        "top_logprobs": 0,
        "top_p": 1,
        "truncation": "disabled",
        "usage": None,
        "user": None,
    }


def usage_object(usage: Usage, before: Usage) -> JsonValue:
    """Return the usage of a model since `before`, in tokens; of the offline model in words."""
    names = "input", "output", "cached", "reasoning", "cache_written"
    spent = {name: (getattr(usage, name) or 0) - (getattr(before, name) or 0) for name in names}
    return {
        "input_tokens": spent["input"],
        "input_tokens_details": {"cached_tokens": spent["cached"], "cache_write_tokens": spent["cache_written"]},
        "output_tokens": spent["output"],
        "output_tokens_details": {"reasoning_tokens": spent["reasoning"]},
        "total_tokens": spent["input"] + spent["output"],
    }


def failure_object(error: Error) -> JsonValue:
    """Return the error of a failed response: the API's code, and the server's own code and error id."""
    code = _FAILURES.get(error.code, "server_error")
    extra = {"code": error.code, "error_id": error.error_id, "retryable": error.retryable}
    return {"code": code, "message": error.message, "type": code, "param": None, "understudy": extra}


def function_item(call_id: str, name: str, arguments: str, status: str = "completed") -> JsonValue:
    """Return the item of a call of a client's tool."""
    return {
        "id": f"fc_{call_id}",
        "type": "function_call",
        "status": status,
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
    }


def text_part(text: str) -> JsonValue:
    """Return the content of a message."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
