"""Translate events into those of OpenAI's Responses API, for one response. Pure.

1. Whatever events come, and wherever they break off, the output is well formed: `response.created` is the first, what
   is added is done before the end, and the last is `response.completed`, `.incomplete`, `.failed`, or `error`.
2. The order of the output items follows from the log alone: first the reasoning, with a summary for each thought and
   for each call of the agent's own tools and its result; then the message, if there is text; then the calls of the
   client's tools in the order of the log. So a stream that is resumed, on any server and after any crash, has the
   same items under the same indexes.
3. A sequence number says what its reader has: `steps << TEXT_BITS | units`. `steps` is the number of events that follow
   from the log. `units` count what is not logged while it streams: the `OPENING` events of the message, then the
   characters of its text. So every number can be resumed after, and nothing has to be stored for that.
"""

from collections.abc import Sequence
from typing import Any, Final

from attrs import define, field

from transport.responses.objects import (
    JsonValue,
    ResponseId,
    ResponseRequest,
    failure_object,
    function_item,
    json_text,
    response_object,
    text_part,
    usage_object,
)
from transport.wire.codes import ERRORS
from transport.wire.events import (
    NO_USAGE,
    TERMINAL,
    AgentThinking,
    Drain,
    Envelope,
    Error,
    Event,
    FinalResponse,
    MessageAccepted,
    PartialResult,
    QuestionAnswered,
    QuestionAsked,
    Resync,
    RunStatus,
    ToolCompleted,
    ToolExecuting,
    Usage,
)

TEXT_BITS: Final = 20
OPENING: Final = 2
"""Events that open the message: its item, and its part."""
MOST_UNITS: Final = (1 << TEXT_BITS) - 1
MOST_TEXT: Final = MOST_UNITS - OPENING
"""Characters of an answer that are sent as deltas. A longer text is whole in `response.output_text.done`."""
REASONING, MESSAGE = 0, 1
"""The indexes of the first two output items."""
NOT_IN_LOG: Final = "The log does not hold that response any more."
_GOES_ON: Final = (QuestionAnswered, ToolCompleted, FinalResponse, Error)
"""Events that end a run's wait for its client."""
_OF_CALLS: Final = (ToolExecuting, ToolCompleted, QuestionAsked)
"""Events that count before the response begins, as they say where it does."""


@define
class ResponsesTranslator:
    """Translates the events of a thread into those of one response.

    The run is `run_id`, or if that is None the first one that answers `message_id`; `part` says which of its responses.
    Only events after the sequence number `after` are returned. `response` is the response so far, None before it began.
    """

    run_id: str | None = None
    message_id: str | None = None
    part: int = 0
    after: int = -1
    response: JsonValue | None = field(default=None, init=False, repr=False)
    ended: bool = field(default=False, init=False)
    parts: int = field(default=0, init=False)  # waits for the client so far
    _accepted: bool = field(default=False, init=False)
    _request: ResponseRequest = field(factory=ResponseRequest, init=False)
    _before: str = field(default="", init=False, repr=False)  # the text of the responses before this one
    _used: Usage = field(default=NO_USAGE, init=False)  # of the responses before this one
    _lead: int = field(default=0, init=False)  # line breaks after it, which are left out
    _text: str = field(default="", init=False, repr=False)
    _sent: int = field(default=0, init=False)  # events that follow from the log
    _units: int = field(default=0, init=False)
    _calls: set[str] = field(factory=set, init=False)  # of the agent's own tools, at work
    _wanted: dict[str, ToolExecuting] = field(factory=dict, init=False, repr=False)  # of the client
    _asked: set[str] = field(factory=set, init=False)
    _batch: QuestionAsked | None = field(default=None, init=False, repr=False)
    _settled: set[str] = field(factory=set, init=False)
    _waiting: bool = field(default=False, init=False)
    _late: list[PartialResult] = field(factory=list, init=False, repr=False)
    _replaced: bool = field(default=False, init=False)
    _end_reason: tuple[str, str] | None = field(default=None, init=False)
    _at: float = field(default=0.0, init=False)

    def translate(self, envelope: Envelope) -> list[JsonValue]:
        """Return the API's events for an event, often none; always none after the end."""
        if self.ended:
            return []
        self._at = envelope.timestamp
        event = envelope.event
        if envelope.run_id is None:
            return self._without_run(event)
        if self.run_id is None and envelope.message_id == self.message_id:
            self.run_id = envelope.run_id
        if envelope.run_id != self.run_id:
            return []
        if isinstance(event, MessageAccepted) and self._accepted:
            return []
        if isinstance(event, MessageAccepted):
            if envelope.seq is None:
                return self.closing_events("not_found", NOT_IN_LOG)
            self._accepted, self._request = True, ResponseRequest.of(envelope, event)
            return self._begin() if self.part == 0 else []
        if self._waiting:
            if isinstance(event, PartialResult):  # held back before the wait; it belongs to the next response
                self._late.append(event)
            return [*self._go_on(), *self._translate(event)] if isinstance(event, _GOES_ON) else []
        return self._translate(event)

    def pause(self) -> list[JsonValue]:
        """Return no events: a response that waits for its client's tools has ended."""
        return []

    def closing_events(self, code: str, message: str | None = None) -> list[JsonValue]:
        """Return the event that ends the stream while the run goes on, or is lost, on the server.

        `code` is one of `transport.wire.codes.ERRORS`. A reason that the server has sent before takes precedence.
        """
        if self.ended:
            return []
        self.ended = True
        code, message = self._end_reason or (code, message or ERRORS[code].text)
        return [{"type": "error", "code": code, "message": message, "param": None, "sequence_number": self._number()}]

    def _without_run(self, event: Event) -> list[JsonValue]:
        match event:
            case Drain():
                self._end_reason = ("busy", ERRORS["busy"].text)
            case Error(code=code, message=message):
                self._end_reason = (code, message)
            case Resync():
                return self.closing_events("not_found", NOT_IN_LOG)
        return []

    def _translate(self, event: Event) -> list[JsonValue]:
        if self.response is None and isinstance(event, TERMINAL):
            return self.closing_events("not_found", NOT_IN_LOG)
        if self.response is None and not isinstance(event, _OF_CALLS):
            return []
        match event:
            case AgentThinking(thought=thought):
                return self._thought(thought)
            case ToolExecuting() as call:
                return self._call_begun(call)
            case ToolCompleted() as call:
                return self._call_ended(call)
            case QuestionAsked(asked_by="client") as asked:
                return self._client_asked(asked)
            case PartialResult(text=text, offset=offset):
                return self._more_text(text, offset)
            case FinalResponse() as answer:
                return self._finished(answer)
            case Error() as error:
                return self._end("failed", "", error=failure_object(error))
        return []

    # Numbers

    def _number(self) -> int:
        """Return the sequence number of what was returned last. It never falls below that of a client that resumes."""
        steps = max(self._sent - 1, self.after >> TEXT_BITS, 0)
        return (steps << TEXT_BITS) | max(self._units, self._known)

    @property
    def _known(self) -> int:
        """The units that the client has already."""
        return self.after & MOST_UNITS if self.after >= 0 else 0

    def _event(self, kind: str, **members: Any) -> list[JsonValue]:
        """Return an event that follows from the log, unless the client has it."""
        self._sent += 1
        if self.after >= 0 and self._sent - 1 <= self.after >> TEXT_BITS:
            return []
        return [{"type": f"response.{kind}", **members, "sequence_number": self._number()}]

    # Parts of the response

    def _begin(self) -> list[JsonValue]:
        """Begin the response, with its reasoning."""
        name = ResponseId(self.run_id or "", self.part)
        response = self.response = response_object(self._request, name, self._at)
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
                events.append({"type": f"response.{kind}", **members, "sequence_number": self._number()})
        return events

    def _go_on(self) -> list[JsonValue]:
        """Begin the next response of the run: the client has sent results, or did not in time."""
        self._waiting = False
        self._asked.clear()
        self._batch = None
        self._settled.clear()
        self._wanted.clear()
        late, self._late = self._late, []
        if self.parts != self.part:
            return []
        return [*self._begin(), *(event for each in late for event in self._more_text(each.text, each.offset))]

    def _item(self, index: int) -> JsonValue:
        assert self.response is not None  # noqa: S101 - for the type checker: items belong to a response that began
        found: JsonValue = self.response["output"][index]
        return found

    def _of_text(self) -> JsonValue:
        return {"item_id": self._item(MESSAGE)["id"], "output_index": MESSAGE, "content_index": 0}

    def _thought(self, thought: str) -> list[JsonValue]:
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
        """Add an output item, which is `shown` so at first. Return its index and the event."""
        assert self.response is not None  # noqa: S101 - see `_item`
        index = len(self.response["output"])
        self.response["output"].append(item)
        return index, self._event("output_item.added", output_index=index, item=shown)

    def _call_begun(self, call: ToolExecuting) -> list[JsonValue]:
        if any(each["name"] == call.tool_name for each in self._request.tools):
            self._wanted[call.call_id] = call
            return []
        if self.response is None or call.call_id in self._calls:
            return []
        self._calls.add(call.call_id)
        return self._thought(f"Calls `{call.tool_name}` with {json_text(call.parameters)}")

    def _call_ended(self, call: ToolCompleted) -> list[JsonValue]:
        self._settled.add(call.call_id)
        if call.call_id not in self._calls:
            return self._wait_if_all_asked()
        self._calls.remove(call.call_id)
        return self._thought(f"`{call.tool_name}` ({call.status.value}): {call.result_summary}")

    def _client_asked(self, asked: QuestionAsked) -> list[JsonValue]:
        """Count a call that the client is to make. When all of the turn are known they are shown, and the response
        ends.
        """
        self._asked.add(asked.call_id or "")
        self._batch = asked
        return self._wait_if_all_asked()

    def _wait_if_all_asked(self) -> list[JsonValue]:
        if (batch := self._batch) is None:
            return []
        calls, said, used = batch.calls or (), batch.said or "", batch.usage or NO_USAGE
        if not set(calls) <= self._asked | self._settled:
            return []
        if self.response is not None:
            opened = self._open_message() if self._own(said) or self._known else []
            shown = [self._wanted[each] for each in calls if each in self._asked and each in self._wanted]
            events = [event for call in shown for event in self._function_call(call)]
            return [*opened, *events, *self._end("completed", said, usage=usage_object(used, self._used))]
        self.parts += 1
        self._before, self._used, self._waiting = said, used, True
        return []

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

    # The text

    def _own(self, whole: str) -> str:
        """Return the part of the run's text that belongs to this response."""
        if not self._before:
            return whole
        return (whole[len(self._before) :] if whole.startswith(self._before) else whole).lstrip("\n")

    def _more_text(self, text: str, offset: int) -> list[JsonValue]:
        begin = offset - len(self._before) - self._lead  # in this response's text; may be negative
        end = len(self._text) - begin  # how much of the piece is known
        known = text[max(0, -begin) : max(0, end)]
        # Sent text cannot be revoked: if the answer was replaced by another one, only its end has its text.
        if begin > len(self._text) or (self._replaced and begin > 0):
            return []
        self._replaced = not self._text.startswith(known, max(0, begin))
        if self._replaced:
            return []
        return self._delta(text[max(0, end) :])

    def _delta(self, fresh: str) -> list[JsonValue]:
        """Add text. Return the event with what the client does not have of it."""
        if self._before and not self._text:
            stripped = fresh.lstrip("\n")
            self._lead += len(fresh) - len(stripped)
            fresh = stripped
        if not fresh:
            return []
        opened = self._open_message()
        known = max(len(self._text), self._known - OPENING)
        self._text += fresh
        self._units = OPENING + min(len(self._text), MOST_TEXT)
        delta = self._text[known:MOST_TEXT]
        if not delta:
            return opened
        event = {"type": "response.output_text.delta", **self._of_text(), "delta": delta, "logprobs": []}
        return [*opened, {**event, "sequence_number": self._number()}]

    # Ends

    def _finished(self, answer: FinalResponse) -> list[JsonValue]:
        usage = usage_object(answer.usage, self._used)
        if answer.status is RunStatus.CANCELLED:
            return self._end("cancelled", answer.message, usage=usage)
        if answer.data is not None and "budget" in answer.data:
            details = {"reason": "max_output_tokens"}
            return self._end("incomplete", answer.message, usage=usage, incomplete_details=details)
        return self._end("completed", answer.message, usage=usage)

    def _end(self, status: str, whole: str, **members: Any) -> list[JsonValue]:
        """End the response; `whole` is the text of the run so far."""
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
        self.response |= {"status": status, "completed_at": int(self._at), **members}
        kind = {"completed": "completed", "failed": "failed"}.get(status, "incomplete")
        events += self._event(kind, response=self.response)
        self.ended = True
        return events


def project(
    envelopes: Sequence[Envelope], name: ResponseId, *, after: int = -1
) -> tuple[ResponsesTranslator, list[JsonValue]]:
    """Translate all events of a run. Return the translator, and the events of the response `name` after `after`."""
    translator = ResponsesTranslator(name.run_id, part=name.part, after=after)
    return translator, [event for envelope in envelopes for event in translator.translate(envelope)]
