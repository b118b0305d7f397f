"""Translates the events of one run into those of AG-UI 1.0 (docs.ag-ui.com). Pure.

Whatever the events are, and wherever they stop, the output is a complete AG-UI run: it begins with RUN_STARTED, each
part that is opened is closed, and the last event is the only RUN_FINISHED or RUN_ERROR.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import Factory, define, field

from transport.wire.codec import json_text, plain
from transport.wire.dialects import event_data
from transport.wire.events import Drain, Error, Event, PartialResult, Resync
from understudy.extensions.agui.interrupts import Interrupts
from understudy.extensions.agui.open_parts import OpenParts
from understudy.extensions.agui.state import SharedState
from understudy.extensions.agui.usage import UsageByModel
from understudy.extensions.agui.vocabulary import METADATA_KEY, AguiEvent
from understudy.extensions.agui.vocabulary import PROTOCOL_VERSION as PROTOCOL_VERSION
from understudy.wire.codes import ERRORS
from understudy.wire.dialects import OF_CONNECTION
from understudy.wire.events import (
    AgentCompleted,
    AgentStarted,
    AgentThinking,
    Alert,
    Envelope,
    FinalResponse,
    MessageAccepted,
    RunStatus,
    SubagentCompleted,
    SubagentStarted,
    ToolCompleted,
    ToolExecuting,
)


@define
class AguiTranslator:
    """Translates the events of a thread into those of the one run that the client asked for.

    `thread_id` and `run_id` are the client's ids. The server's run is `server_run_id`, or the first one that answers
    `message_id`. With `pauses`, a run that only waits for its user ends for the client, with an interrupt for each
    decision or answer that it waits for. `state` is shared with the client, or None. `result_ids` are the client's ids
    of the results of calls, by call. `at_ms` is the time of the last event in Unix milliseconds.
    """

    thread_id: str
    run_id: str
    message_id: str
    parent_run_id: str | None = None
    pauses: bool = False
    waits: Interrupts = field(factory=Interrupts)
    state: SharedState | None = None
    usage: UsageByModel = field(factory=UsageByModel)
    result_ids: Mapping[str, str] = field(factory=dict, repr=False)
    server_run_id: str | None = None
    at_ms: int = 0
    ended: bool = field(default=False, init=False)
    _parts: OpenParts = field(default=Factory(lambda self: OpenParts(self.result_ids), takes_self=True), init=False)
    _cut_off: str = field(default="", init=False, repr=False)
    _end_reason: tuple[str, str] | None = field(default=None, init=False)

    def translate(self, envelope: Envelope) -> list[AguiEvent]:
        """Return the AG-UI events for an event, often none; always none after the end."""
        if self.ended:
            return []
        self.at_ms = round(envelope.timestamp * 1000)
        if envelope.run_id is None:
            return self._without_run(envelope)
        if self._parts.run_id is None:
            if not self._begins(envelope):
                return []
            if isinstance(envelope.event, MessageAccepted) and envelope.seq is None:
                return self._not_in_log()
            self.server_run_id = self._parts.run_id = envelope.run_id
            return [self._run_started(), *self._state_snapshot(), *self._translate_event(envelope)]
        return self._translate_event(envelope) if envelope.run_id == self.server_run_id else []

    def _begins(self, envelope: Envelope) -> bool:
        """Return whether an event is one of the run that the client asked for."""
        if self.server_run_id is not None:
            return envelope.run_id == self.server_run_id
        return envelope.message_id == self.message_id

    def pause(self) -> list[AguiEvent]:
        """Return the events that end the run for its client if it only waits for the user or the client's tools.

        Call it after each batch of events, not after each event, because a batch may have the question and its reply.
        """
        waits = self.waits
        interrupts = list(waits.open.values()) if self.pauses else []
        if self.ended or not waits.answered or not (interrupts or waits.calling):
            return []
        waiting = {*waits.calling, *waits.calls(), *self._parts.subagents.waiting_calls(waits)}
        if (waits.open and not interrupts) or not waiting.issuperset(self._parts.unanswered):
            return []
        if interrupts:
            outcome: AguiEvent = {"type": "interrupt", "interrupts": interrupts}
            return [*self._close_open_parts(calls=False), self._run_finished(outcome)]
        outcome = {"type": "success", "pendingToolCallIds": waits.calling}
        metadata = {METADATA_KEY: {"expires_at": waits.expires_at}}
        return [*self._close_open_parts(calls=False), self._run_finished(outcome, metadata=metadata)]

    def opening(self, messages: Sequence[AguiEvent]) -> list[AguiEvent]:
        """Return the events by which a client joins the run as far as it has been translated.

        `messages` are those of the conversation so far. The run's open parts are sent again: its agents' steps, its
        subagents, and the questions that it waits for.
        """
        return [
            self._run_started(),
            self._event("MESSAGES_SNAPSHOT", messages=list(messages)),
            *self._state_snapshot(),
            *self._timed(self._parts.joined()),
            *([] if self.ended else self.waits.events(self.at_ms)),
        ]

    def finished(self) -> AguiEvent:
        """Return the event that ends the run for a client that has nothing to wait for."""
        self.ended = True
        return self._run_finished({"type": "success"})

    def closing_events(self, code: str, message: str | None = None) -> list[AguiEvent]:
        """Return the events that end the run for its client with an error, while it goes on or is lost on the server.

        `code` is one of `transport.wire.codes.ERRORS`. A reason that the server has sent earlier takes precedence.
        """
        if self.ended:
            return []
        if self._end_reason is not None:
            code, message = self._end_reason
        fault = ERRORS[code]
        return self._failed(Error(code, message or fault.text, fault.retryable, ""))

    def _without_run(self, envelope: Envelope) -> list[AguiEvent]:
        """Translate an event that belongs to no run: an alert, or the reason why the stream will end."""
        match envelope.event:
            case Alert() as alert if self._parts.run_id is not None:
                return [self._custom(alert)]
            case Drain():
                self._end_reason = ("busy", envelope.message or ERRORS["busy"].text)
            case Error(code=code, message=message):
                self._end_reason = (code, message)
            case Resync():
                return self._not_in_log()
        return []

    def _not_in_log(self) -> list[AguiEvent]:
        """End the run with an error, because its events were trimmed from the log, so no more will come."""
        return self.closing_events("not_found", "The log does not hold that run any more.")

    def _translate_event(self, envelope: Envelope) -> list[AguiEvent]:
        event = envelope.event
        parts = self._parts
        if isinstance(event, PartialResult):  # first, because nearly all events are such
            # AG-UI cannot replace a text: if the answer was replaced, only the result has the new text.
            return self._timed(parts.more_text(event.beyond(parts.text)))
        self.usage.apply(envelope)
        self.waits.apply(envelope, self._parts.subagents.attribution(getattr(event, "agent_id", None)))
        changes = [] if self.state is None else self.state.apply(envelope)
        delta = [self._event("STATE_DELTA", delta=changes)] if changes else []
        match event:
            case FinalResponse() | Error():
                return [*delta, *(self._finished(event) if isinstance(event, FinalResponse) else self._failed(event))]
            case MessageAccepted():
                return delta
            case AgentStarted(agent_id=agent_id):
                return self._timed(parts.step_started(agent_id, envelope))
            case AgentCompleted(agent_id=agent_id, result=text, status=status):
                if status is not RunStatus.SUCCESS:  # no later event has the text of a run that fails
                    self._cut_off = text
                return self._timed(parts.step_finished(agent_id))
            case SubagentStarted(call_id=call_id):
                return self._timed(parts.subagents.started(event, parts.callers.get(call_id)))
            case SubagentCompleted():
                return self._timed(parts.subagents.completed(event))
            case AgentThinking(thought=thought):
                return self._timed(parts.thought(thought, event.agent_id))
            case ToolExecuting():
                return [*self._timed(parts.tool_call(event)), *delta]
            case ToolCompleted():
                return [*self._tool_result(event), *delta]
            case _ if isinstance(event, OF_CONNECTION) or self.waits.of_client(event):
                return []
        return [self._custom(event), *delta]

    def _event(self, kind: str, **members: Any) -> AguiEvent:
        return {"type": kind, "timestamp": self.at_ms} | members

    def _timed(self, events: list[AguiEvent]) -> list[AguiEvent]:
        return [event | {"timestamp": self.at_ms} for event in events]

    def _state_snapshot(self) -> list[AguiEvent]:
        return [] if self.state is None else [self._event("STATE_SNAPSHOT", snapshot=self.state.snapshot())]

    def _custom(self, event: Event) -> AguiEvent:
        attribution = self._parts.subagents.attribution(getattr(event, "agent_id", None))
        return self._event("CUSTOM", name=event.type, value=plain(event_data(event)), **attribution)

    def _run_started(self) -> AguiEvent:
        event = self._event("RUN_STARTED", threadId=self.thread_id, runId=self.run_id, protocolVersion=PROTOCOL_VERSION)
        if self.parent_run_id is not None:
            event["parentRunId"] = self.parent_run_id
        return event | {"metadata": {METADATA_KEY: {"run_id": self.server_run_id, "message_id": self.message_id}}}

    def _tool_result(self, call: ToolCompleted) -> list[AguiEvent]:
        if call.call_id not in self._parts.unanswered:
            return []
        if isinstance(call.result, str) and call.call_id in self.waits.client_calls.values():
            content = call.result  # the client's own text, unchanged
        else:
            content = call.result_summary if call.result is None else json_text(call.result)
        details = {"status": call.status.value, "summary": call.result_summary, "duration_ms": call.duration_ms}
        return self._timed([self._parts.result(call.call_id, content, details)])

    def _finished(self, answer: FinalResponse) -> list[AguiEvent]:
        events = self._timed(self._parts.rest_of_text(answer.message))
        result = plain(event_data(answer))
        outcome = "cancelled" if answer.status is RunStatus.CANCELLED else "success"
        events += self._close_open_parts()
        usage = self.usage.entries(answer.usage)
        events.append(self._run_finished({"type": outcome}, result=result, **({"usage": usage} if usage else {})))
        return events

    def _run_finished(self, outcome: Mapping[str, Any], **members: Any) -> AguiEvent:
        ids = {"threadId": self.thread_id, "runId": self.run_id}
        return self._event("RUN_FINISHED", **ids, **members, outcome=outcome)

    def _failed(self, error: Error) -> list[AguiEvent]:
        usage = self.usage.entries()
        remaining_text = self._timed(self._parts.rest_of_text(self._cut_off))
        return [
            *remaining_text,
            *self._close_open_parts(),
            run_error(error, self.at_ms) | ({"usage": usage} if usage else {}),
        ]

    def _close_open_parts(self, *, calls: bool = True) -> list[AguiEvent]:
        self.ended = True
        return self._timed(self._parts.close(self.waits, calls=calls))


def run_error(error: Error, at_ms: int) -> AguiEvent:
    """Return the event that ends a run for its client, or, as the only event of a stream, refuses to start it."""
    details = {
        name: value for name, value in event_data(error).items() if name not in ("code", "message") and value != ""
    }
    return {
        "type": "RUN_ERROR",
        "timestamp": at_ms,
        "message": error.message,
        "code": error.code,
        "metadata": {METADATA_KEY: details},
    }
