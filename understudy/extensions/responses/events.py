"""Translates the events of a thread into those of OpenAI's Responses API, for one response. Pure.

1. Whatever events come, and wherever they break off, the output is well formed: `response.created` is the first event,
   each added item is done before the end, and the last is `response.completed`, `.incomplete`, `.failed`, or `error`.
2. The order of the output items follows from the log alone: first the reasoning, with a summary for each thought and
   for each call of the agent's own tools and its result; then the message, if there is text; then the calls of the
   client's tools in the order of the log. So a resumed stream, on any server and after any crash, has the same items
   under the same indexes.
"""

from collections.abc import Sequence
from typing import Any, Final

from attrs import Factory, define, field

from transport.wire.codec import json_text
from transport.wire.events import Drain, Error, Event, PartialResult, Resync
from understudy.extensions.responses.objects import JsonValue, ResponseId, ResponseRequest, failure_object, usage_object
from understudy.extensions.responses.writer import ResponseWriter
from understudy.wire.codes import ERRORS
from understudy.wire.events import (
    NO_USAGE,
    TERMINAL,
    AgentThinking,
    Envelope,
    FinalResponse,
    MessageAccepted,
    QuestionAnswered,
    QuestionAsked,
    RunStatus,
    ToolCompleted,
    ToolExecuting,
)

NOT_IN_LOG: Final = "The log does not hold that response any more."
_GOES_ON: Final = (QuestionAnswered, ToolCompleted, FinalResponse, Error)
"""Events that end a run's wait for its client."""
_OF_CALLS: Final = (ToolExecuting, ToolCompleted, QuestionAsked)
"""Events that are translated before the response begins, because they determine where it begins."""


@define
class ResponsesTranslator:
    """Translates the events of a thread into those of one response.

    The run is `run_id`, or if that is None the first one that answers `message_id`; `part` is the number of the
    response in the run, from 0. Only events after the sequence number `after` are returned.
    """

    run_id: str | None = None
    message_id: str | None = None
    part: int = 0
    after: int = -1
    _writer: ResponseWriter = field(
        default=Factory(lambda self: ResponseWriter(self.after), takes_self=True), init=False
    )
    ended: bool = field(default=False, init=False)
    parts: int = field(default=0, init=False)  # number of waits for the client that have begun before this response
    _request: ResponseRequest | None = field(default=None, init=False)
    _calls: set[str] = field(factory=set, init=False)  # ids of running calls of the agent's own tools
    _wanted: dict[str, ToolExecuting] = field(factory=dict, init=False, repr=False)  # calls of the client's tools
    _asked: set[str] = field(factory=set, init=False)  # ids of the calls that the client was asked to make
    _batch: QuestionAsked | None = field(default=None, init=False, repr=False)  # the latest such question
    _settled: set[str] = field(factory=set, init=False)  # ids of the calls that have a result
    _late: list[PartialResult] | None = field(default=None, init=False, repr=False)  # text that came during a wait
    _end_reason: tuple[str, str] | None = field(default=None, init=False)

    @property
    def response(self) -> JsonValue | None:
        """The response so far, None before it began."""
        return self._writer.response

    def translate(self, envelope: Envelope) -> list[JsonValue]:
        """Return the API's events for an event, which may be none; after the end they always are."""
        if self.ended:
            return []
        self._writer.at = envelope.timestamp
        event = envelope.event
        if envelope.run_id is None:
            return self._without_run(event)
        if self.run_id is None and envelope.message_id == self.message_id:
            self.run_id = envelope.run_id
        if envelope.run_id != self.run_id:
            return []
        if isinstance(event, MessageAccepted) and self._request is not None:
            return []
        if isinstance(event, MessageAccepted):
            if envelope.seq is None:
                return self.closing_events("not_found", NOT_IN_LOG)
            self._request = ResponseRequest.of(envelope, event)
            return self._begin() if self.part == 0 else []
        if self._late is not None:
            if isinstance(event, PartialResult):  # it was delayed, and belongs to the next response
                self._late.append(event)
            return [*self._go_on(), *self._translate(event)] if isinstance(event, _GOES_ON) else []
        return self._translate(event)

    def pause(self) -> list[JsonValue]:
        """Return no events: a response that waits for its client's tools has ended."""
        return []

    def closing_events(self, code: str, message: str | None = None) -> list[JsonValue]:
        """Return the event that ends the stream although the run continues, or is lost, on the server.

        `code` is one of `understudy.wire.codes.ERRORS`. A reason that the server has sent before takes precedence.
        """
        if self.ended:
            return []
        self.ended = True
        code, message = self._end_reason or (code, message or ERRORS[code].text)
        return [
            {"type": "error", "code": code, "message": message, "param": None, "sequence_number": self._writer.number}
        ]

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
                return self._writer.thought(thought)
            case ToolExecuting() as call:
                return self._call_begun(call)
            case ToolCompleted() as call:
                return self._call_ended(call)
            case QuestionAsked(asked_by="client") as question:
                return self._client_asked(question)
            case PartialResult(text=text, offset=offset):
                return self._writer.more_text(text, offset)
            case FinalResponse() as answer:
                return self._finished(answer)
            case Error() as error:
                return self._end("failed", "", error=failure_object(error))
        return []

    def _begin(self) -> list[JsonValue]:
        name = ResponseId(self.run_id or "", self.part)
        return self._writer.begin(name, self._request or ResponseRequest())

    def _go_on(self) -> list[JsonValue]:
        """Begin the next response of the run, as the client has sent its results, or did not in time."""
        self._asked.clear()
        self._batch = None
        self._settled.clear()
        self._wanted.clear()
        late, self._late = self._late or (), None
        if self.parts != self.part:
            return []
        return [*self._begin(), *(event for text in late for event in self._writer.more_text(text.text, text.offset))]

    def _call_begun(self, call: ToolExecuting) -> list[JsonValue]:
        if self._request is not None and any(tool["name"] == call.tool_name for tool in self._request.tools):
            self._wanted[call.call_id] = call
            return []
        if self.response is None or call.call_id in self._calls:
            return []
        self._calls.add(call.call_id)
        return self._writer.thought(f"Calls `{call.tool_name}` with {json_text(call.parameters)}")

    def _call_ended(self, call: ToolCompleted) -> list[JsonValue]:
        self._settled.add(call.call_id)
        if call.call_id not in self._calls:
            return self._wait_if_all_asked()
        self._calls.remove(call.call_id)
        return self._writer.thought(f"`{call.tool_name}` ({call.status.value}): {call.result_summary}")

    def _client_asked(self, question: QuestionAsked) -> list[JsonValue]:
        """Record a call that the client must make. When all calls of the turn are recorded, return the events that show
        them and end the response."""
        self._asked.add(question.call_id or "")
        self._batch = question
        return self._wait_if_all_asked()

    def _wait_if_all_asked(self) -> list[JsonValue]:
        if (batch := self._batch) is None:
            return []
        calls, text, used = batch.calls or (), batch.said or "", batch.usage or NO_USAGE
        if not set(calls) <= self._asked | self._settled:
            return []
        if self.response is not None:
            shown = [self._wanted[call] for call in calls if call in self._asked and call in self._wanted]
            events = self._writer.function_calls(shown, text)
            return [*events, *self._end("completed", text, usage=usage_object(used, self._writer.used))]
        self.parts += 1
        self._writer.before, self._writer.used, self._late = text, used, []
        return []

    # Ends

    def _finished(self, answer: FinalResponse) -> list[JsonValue]:
        usage = usage_object(answer.usage, self._writer.used)
        if answer.status is RunStatus.CANCELLED:
            return self._end("cancelled", answer.message, usage=usage)
        if answer.data is not None and "budget" in answer.data:
            details = {"reason": "max_output_tokens"}
            return self._end("incomplete", answer.message, usage=usage, incomplete_details=details)
        return self._end("completed", answer.message, usage=usage)

    def _end(self, status: str, whole: str, **members: Any) -> list[JsonValue]:
        self.ended = True
        return self._writer.end(status, whole, **members)


def project(
    envelopes: Sequence[Envelope], name: ResponseId, *, after: int = -1
) -> tuple[ResponsesTranslator, list[JsonValue]]:
    """Translate all events of a run. Return the translator, and the events of the response `name` after `after`."""
    translator = ResponsesTranslator(name.run_id, part=name.part, after=after)
    return translator, [event for envelope in envelopes for event in translator.translate(envelope)]
