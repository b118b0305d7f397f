"""Writes one response of the Responses API: its events, and the response itself. Pure.

A sequence number encodes how much its reader has: `steps << TEXT_BITS | units`. `steps` is the number of events that
follow from the log. `units` count what is streamed without being logged: the `OPENING` events of the message, then the
characters of its text. So a stream can be resumed after any number, and nothing has to be stored for that.
"""

from collections.abc import Sequence
from typing import Any, Final

from attrs import define, field

from transport.wire.codec import json_text
from understudy.extensions.responses.objects import (
    JsonValue,
    ResponseId,
    ResponseRequest,
    function_item,
    response_object,
    text_part,
)
from understudy.wire.events import NO_USAGE, ToolExecuting, Usage

TEXT_BITS: Final = 20
OPENING: Final = 2
"""Number of events that open the message: for its item, and for its part."""
MOST_UNITS: Final = (1 << TEXT_BITS) - 1
MOST_TEXT: Final = MOST_UNITS - OPENING
"""Limit of characters of an answer that are sent as deltas. `response.output_text.done` has the whole text."""
REASONING, MESSAGE = 0, 1
"""The indexes of the first two output items."""


@define
class ResponseWriter:
    """Writes one response, for a client that has its events up to the sequence number `after`, -1 for none.

    `response` is the response so far, None before it began. `at` is the time of the last event.
    """

    after: int
    response: JsonValue | None = field(default=None, init=False, repr=False)
    before: str = field(default="", init=False, repr=False)  # the text of the responses before this one
    used: Usage = field(default=NO_USAGE, init=False)  # of the responses before this one
    _lead: int = field(default=0, init=False)  # number of line breaks after `before`, which are left out
    _text: str = field(default="", init=False, repr=False)  # the text of this response so far
    _sent: int = field(default=0, init=False)  # number of events so far that follow from the log
    _units: int = field(default=0, init=False)
    _replaced: bool = field(default=False, init=False)  # the run's text was replaced by one that does not continue it
    at: float = field(default=0.0, init=False)

    # Numbers

    @property
    def number(self) -> int:
        """The sequence number of the last event. It is never lower than that after which a client resumes."""
        steps = max(self._sent - 1, self.after >> TEXT_BITS, 0)
        return (steps << TEXT_BITS) | max(self._units, self._known)

    @property
    def _known(self) -> int:
        """The units that the client has already."""
        return self.after & MOST_UNITS if self.after >= 0 else 0

    def _event(self, kind: str, **members: Any) -> list[JsonValue]:
        """Return an event that follows from the log, in a list; an empty list if the client has it."""
        self._sent += 1
        if self.after >= 0 and self._sent - 1 <= self.after >> TEXT_BITS:
            return []
        return [{"type": f"response.{kind}", **members, "sequence_number": self.number}]

    # Parts of the response

    def begin(self, name: ResponseId, request: ResponseRequest) -> list[JsonValue]:
        """Begin the response with its reasoning. Return the events."""
        response = self.response = response_object(request, name, self.at)
        shown = {**response, "output": []}
        tail = str(name).removeprefix("resp_")
        reasoning = {"id": f"rs_{tail}", "type": "reasoning", "summary": [], "status": "in_progress"}
        response["output"].append(reasoning)
        return [
            *self._event("created", response=shown),
            *self._event("in_progress", response=shown),
            *self._event("output_item.added", output_index=REASONING, item={**reasoning, "summary": []}),
        ]

    def _open_message(self) -> list[JsonValue]:
        """Open the message. Return the events that the client does not have."""
        if self._units:
            return []
        tail = self._item(REASONING)["id"].removeprefix("rs_")
        message = {"id": f"msg_{tail}", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
        assert self.response is not None  # noqa: S101 - see `_item`
        self.response["output"].append({**message, "content": [text_part("")]})
        events: list[JsonValue] = []
        for kind, members in (
            ("output_item.added", {"output_index": MESSAGE, "item": message}),
            ("content_part.added", {**self._of_text(), "part": text_part("")}),
        ):
            self._units += 1
            if self._units > self._known:
                events.append({"type": f"response.{kind}", **members, "sequence_number": self.number})
        return events

    def _item(self, index: int) -> JsonValue:
        assert self.response is not None  # noqa: S101 - for the type checker: items belong to a response that began
        item: JsonValue = self.response["output"][index]
        return item

    def _of_text(self) -> JsonValue:
        return {"item_id": self._item(MESSAGE)["id"], "output_index": MESSAGE, "content_index": 0}

    def thought(self, thought: str) -> list[JsonValue]:
        """Add a summary to the reasoning. Return the events."""
        item = self._item(REASONING)
        where = {"item_id": item["id"], "output_index": REASONING, "summary_index": len(item["summary"])}
        part = {"type": "summary_text", "text": thought}
        item["summary"].append(part)
        return [
            *self._event("reasoning_summary_part.added", **where, part={**part, "text": ""}),
            *self._event("reasoning_summary_text.delta", **where, delta=thought),
            *self._event("reasoning_summary_text.done", **where, text=thought),
            *self._event("reasoning_summary_part.done", **where, part=dict(part)),
        ]

    def _added(self, item: JsonValue, shown: JsonValue) -> tuple[int, list[JsonValue]]:
        """Add an output item, whose first event has it as `shown`. Return its index and that event."""
        assert self.response is not None  # noqa: S101 - see `_item`
        index = len(self.response["output"])
        self.response["output"].append(item)
        return index, self._event("output_item.added", output_index=index, item=shown)

    def _function_call(self, call: ToolExecuting) -> list[JsonValue]:
        arguments = json_text(call.parameters)
        item = function_item(call.call_id, call.tool_name, arguments)
        index, events = self._added(item, {**item, "arguments": "", "status": "in_progress"})
        where = {"item_id": item["id"], "output_index": index}
        return [
            *events,
            *self._event("function_call_arguments.delta", **where, delta=arguments),
            *self._event("function_call_arguments.done", **where, arguments=arguments, name=call.tool_name),
            *self._event("output_item.done", output_index=index, item=dict(item)),
        ]

    def function_calls(self, calls: Sequence[ToolExecuting], text_so_far: str) -> list[JsonValue]:
        """Add calls that the client is to make, after the message; `text_so_far` is the text of the run so far."""
        opened = self._open_message() if self._own(text_so_far) or self._known else []
        return [*opened, *(event for call in calls for event in self._function_call(call))]

    # The text

    def _own(self, whole: str) -> str:
        """Return the part of the run's text that belongs to this response."""
        if not self.before:
            return whole
        return (whole[len(self.before) :] if whole.startswith(self.before) else whole).lstrip("\n")

    def more_text(self, text: str, offset: int) -> list[JsonValue]:
        """Add a piece of the run's text, which begins at `offset` in it. Return the events."""
        begin = offset - len(self.before) - self._lead  # the piece's offset in this response's text; may be negative
        end = len(self._text) - begin  # length of the part of the piece that is in `_text` already
        overlap = text[max(0, -begin) : max(0, end)]
        # Sent text cannot be revoked: a text that does not continue it is sent at the end of the response only.
        if begin > len(self._text) or (self._replaced and begin > 0):
            return []
        self._replaced = not self._text.startswith(overlap, max(0, begin))
        if self._replaced:
            return []
        return self._delta(text[max(0, end) :])

    def _delta(self, fresh: str) -> list[JsonValue]:
        """Add text. Return the events with the part of it that the client does not have."""
        if self.before and not self._text:
            stripped = fresh.lstrip("\n")
            self._lead += len(fresh) - len(stripped)
            fresh = stripped
        if not fresh:
            return []
        opened = self._open_message()
        client_has = max(len(self._text), self._known - OPENING)
        self._text += fresh
        self._units = OPENING + min(len(self._text), MOST_TEXT)
        delta = self._text[client_has:MOST_TEXT]
        if not delta:
            return opened
        event = {"type": "response.output_text.delta", **self._of_text(), "delta": delta, "logprobs": []}
        return [*opened, {**event, "sequence_number": self.number}]

    def end(self, status: str, whole: str, **members: Any) -> list[JsonValue]:
        """End the response; `whole` is the text of the run so far. Return the events."""
        assert self.response is not None  # noqa: S101 - see `_item`
        text = self._own(whole) if whole else self._text
        events: list[JsonValue] = []
        if len(text) > len(self._text) and text.startswith(self._text):
            events += self._delta(text[len(self._text) :])
        done = "completed" if status == "completed" else "incomplete"
        if text or self._known:
            events += self._open_message()
        if self._units:
            part, message = text_part(text), self._item(MESSAGE)
            message |= {"status": done, "content": [part]}
            events += self._event("output_text.done", **self._of_text(), text=text, logprobs=[])
            events += self._event("content_part.done", **self._of_text(), part=part)
            events += self._event("output_item.done", output_index=MESSAGE, item=dict(message))
        reasoning = self._item(REASONING)
        reasoning["status"] = done
        events += self._event("output_item.done", output_index=REASONING, item=dict(reasoning))
        self.response |= {"status": status, "completed_at": int(self.at), **members}
        kind = {"completed": "completed", "failed": "failed"}.get(status, "incomplete")
        events += self._event(kind, response=self.response)
        return events
