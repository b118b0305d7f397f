"""Translate events into those of AG-UI 1.0 (docs.ag-ui.com), for one run. Pure.

Whatever events come, and wherever they break off, the output is a complete AG-UI run: it begins with RUN_STARTED, each
part that is opened is closed, and the last event is the only RUN_FINISHED or RUN_ERROR.
"""

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import msgspec
from attrs import define, field

from transport.wire.codes import ERRORS
from transport.wire.dialects import OF_CONNECTION, event_data, iso
from transport.wire.events import (
    AgentCompleted,
    AgentStarted,
    AgentThinking,
    Alert,
    ApprovalDecided,
    ApprovalRequired,
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
)

PROTOCOL_VERSION: Final = "1.0"
ANSWER: Final = "answer-"
"""Prefix of the ids of answers; the rest is the run's id. The history has the same ids."""
METADATA_KEY: Final = "understudy"
"""The key of this server's data in an event's `metadata`."""

AguiEvent: TypeAlias = dict[str, Any]


@define
class AguiTranslator:
    """Translates the events of a thread into those of the one run that the client asked for.

    `thread_id` and `run_id` are the client's ids. The server's run is the first one that answers `message_id`.
    `interrupts`: while the run waits for its user, it ends for the client with an interrupt for each decision and
    answer that it waits for, but not before those named in `resumed` are in the log.
    """

    thread_id: str
    run_id: str
    message_id: str
    parent_run_id: str | None = None
    interrupts: bool = False
    resumed: frozenset[str] = frozenset()
    _waits: dict[str, AguiEvent] = field(factory=dict, init=False, repr=False)
    _replied: set[str] = field(factory=set, init=False)
    ended: bool = field(default=False, init=False)
    _server_run_id: str | None = field(default=None, init=False)
    _steps: dict[str, str] = field(factory=dict, init=False)
    _calls: dict[str, bool] = field(factory=dict, init=False)
    _thoughts: int = field(default=0, init=False)
    _text: str | None = field(default=None, init=False, repr=False)
    _end_reason: tuple[str, str] | None = field(default=None, init=False)
    _at: int = field(default=0, init=False)

    def translate(self, envelope: Envelope) -> list[AguiEvent]:
        """Return the AG-UI events for an event, often none; always none after the end."""
        if self.ended:
            return []
        self._at = round(envelope.timestamp * 1000)
        self._note_waits(envelope)
        if envelope.run_id is None:
            return self._without_run(envelope)
        if isinstance(envelope.event, MessageAccepted) and envelope.seq is None and self._server_run_id is None:
            return self._not_in_log()
        if self._server_run_id is None and envelope.message_id == self.message_id:
            self._server_run_id = envelope.run_id
            return [self._run_started(), *self._translate_event(envelope)]
        return self._translate_event(envelope) if envelope.run_id == self._server_run_id else []

    def interrupt(self) -> list[AguiEvent]:
        """Return the events that end the run for its client if it only waits for its user; else none.

        Call it after each batch of events, as a decision may come with its question.
        """
        if self.ended or not self.interrupts or not self._waits or not self.resumed <= self._replied:
            return []
        unanswered = {call_id for call_id, answered in self._calls.items() if not answered}
        if not unanswered <= {each.get("toolCallId") for each in self._waits.values()}:
            return []
        outcome = {"type": "interrupt", "interrupts": list(self._waits.values())}
        return [*self._close_open_parts(calls=False), self._run_finished(outcome)]

    def _note_waits(self, envelope: Envelope) -> None:
        """Note what the server's run waits for, and what has been decided and answered."""
        event = envelope.event
        if envelope.run_id is None or self._server_run_id not in (None, envelope.run_id):
            return
        match event:
            case ApprovalRequired(call_id=name):
                self._waits[name] = _interrupt(name, "approval", envelope, event.call_id, _decision_schema(event))
            case QuestionAsked(question_id=name):
                self._waits[name] = _interrupt(name, "question", envelope, event.call_id, event.schema)
            case ApprovalDecided(call_id=name) | QuestionAnswered(question_id=name):
                self._replied.add(name)
                self._waits.pop(name, None)
            case ToolCompleted(call_id=call_id):
                for name in [name for name, each in self._waits.items() if each.get("toolCallId") == call_id]:
                    del self._waits[name]

    def closing_events(self, code: str, message: str | None = None) -> list[AguiEvent]:
        """Return the events that end the run for its client while it goes on, or is lost, on the server.

        `code` is one of `transport.wire.codes.ERRORS`. A reason that the server has sent before takes precedence.
        """
        if self.ended:
            return []
        if self._end_reason is not None:
            code, message = self._end_reason
        known = ERRORS[code]
        return self._failed(Error(code, message or known.text, known.retryable, ""))

    def _without_run(self, envelope: Envelope) -> list[AguiEvent]:
        """Translate an event of no run: an alert, or the reason of an end that follows."""
        match envelope.event:
            case Alert() as alert if self._server_run_id is not None:
                return [self._custom(alert)]
            case Drain():
                self._end_reason = ("busy", envelope.message or ERRORS["busy"].text)
            case Error(code=code, message=message):
                self._end_reason = (code, message)
            case Resync():
                return self._not_in_log()
        return []

    def _not_in_log(self) -> list[AguiEvent]:
        """End the run: it ended long ago, its events were trimmed from the log, and no others will come."""
        return self.closing_events("not_found", "The log does not hold that run any more.")

    def _translate_event(self, envelope: Envelope) -> list[AguiEvent]:
        match envelope.event:
            case MessageAccepted():
                return []
            case AgentStarted(agent_id=agent_id):
                return self._step_started(agent_id, envelope)
            case AgentCompleted(agent_id=agent_id):
                return self._step_finished(agent_id)
            case AgentThinking(thought=thought):
                return self._reasoning(thought)
            case ToolExecuting() as call:
                return self._tool_call(call)
            case ToolCompleted() as call:
                return self._tool_result(call)
            case PartialResult(text=text, offset=offset):
                return self._more_text(text, offset)
            case FinalResponse() as answer:
                return self._finished(answer)
            case Error() as error:
                return self._failed(error)
            case event if isinstance(event, OF_CONNECTION):
                return []
            case event:
                return [self._custom(event)]

    # One kind of event each

    def _event(self, kind: str, **members: Any) -> AguiEvent:
        return {"type": kind, "timestamp": self._at} | members

    def _custom(self, event: Event) -> AguiEvent:
        return self._event("CUSTOM", name=event.type, value=_plain(event_data(event)))

    def _run_started(self) -> AguiEvent:
        event = self._event("RUN_STARTED", threadId=self.thread_id, runId=self.run_id, protocolVersion=PROTOCOL_VERSION)
        if self.parent_run_id is not None:
            event["parentRunId"] = self.parent_run_id
        return event | {"metadata": {METADATA_KEY: {"run_id": self._server_run_id, "message_id": self.message_id}}}

    def _step_started(self, agent_id: str, envelope: Envelope) -> list[AguiEvent]:
        if agent_id in self._steps:
            return []
        name = "/".join(part for part in (envelope.agent_type, envelope.pillar) if part)
        if not name or name in self._steps.values():
            name = agent_id
        self._steps[agent_id] = name
        return [self._event("STEP_STARTED", stepName=name)]

    def _step_finished(self, agent_id: str) -> list[AguiEvent]:
        name = self._steps.pop(agent_id, None)
        return [] if name is None else [self._event("STEP_FINISHED", stepName=name)]

    def _reasoning(self, thought: str) -> list[AguiEvent]:
        self._thoughts += 1
        name = f"thought-{self._server_run_id}-{self._thoughts}"
        return [
            self._event("REASONING_START", messageId=name),
            self._event("REASONING_MESSAGE_START", messageId=name, role="reasoning"),
            self._event("REASONING_MESSAGE_CONTENT", messageId=name, delta=thought),
            self._event("REASONING_MESSAGE_END", messageId=name),
            self._event("REASONING_END", messageId=name),
        ]

    def _tool_call(self, call: ToolExecuting) -> list[AguiEvent]:
        if call.call_id in self._calls:
            return []
        self._calls[call.call_id] = False
        about = {METADATA_KEY: {"description": call.description}}
        return [
            self._event("TOOL_CALL_START", toolCallId=call.call_id, toolCallName=call.tool_name, metadata=about),
            self._event("TOOL_CALL_ARGS", toolCallId=call.call_id, delta=_json(call.parameters)),
            self._event("TOOL_CALL_END", toolCallId=call.call_id),
        ]

    def _tool_result(self, call: ToolCompleted) -> list[AguiEvent]:
        if self._calls.get(call.call_id) is not False:
            return []
        self._calls[call.call_id] = True
        content = call.result_summary if call.result is None else _json(call.result)
        about = {"status": call.status.value, "summary": call.result_summary, "duration_ms": call.duration_ms}
        return [self._result(call.call_id, content, about)]

    def _result(self, call_id: str, content: str, about: Mapping[str, Any]) -> AguiEvent:
        return self._event(
            "TOOL_CALL_RESULT",
            messageId=f"result-{call_id}",
            toolCallId=call_id,
            content=content,
            role="tool",
            metadata={METADATA_KEY: dict(about)},
        )

    def _more_text(self, text: str, offset: int) -> list[AguiEvent]:
        sent = self._text or ""
        known, fresh = text[: len(sent) - offset], text[len(sent) - offset :]
        # Sent text cannot be revoked: if the answer was replaced by another one, only the result has its text.
        if offset > len(sent) or not sent.startswith(known, offset) or not fresh:
            return []
        return [*self._text_opened(), self._text_piece(fresh)]

    def _text_opened(self) -> list[AguiEvent]:
        if self._text is not None:
            return []
        self._text = ""
        return [self._event("TEXT_MESSAGE_START", messageId=f"{ANSWER}{self._server_run_id}", role="assistant")]

    def _text_piece(self, text: str) -> AguiEvent:
        self._text = (self._text or "") + text
        return self._event("TEXT_MESSAGE_CONTENT", messageId=f"{ANSWER}{self._server_run_id}", delta=text)

    # Ends

    def _finished(self, answer: FinalResponse) -> list[AguiEvent]:
        sent = self._text or ""
        events: list[AguiEvent] = []
        if len(answer.message) > len(sent) and answer.message.startswith(sent):
            events += [*self._text_opened(), self._text_piece(answer.message[len(sent) :])]
        result = _plain(event_data(answer))
        outcome = "cancelled" if answer.status is RunStatus.CANCELLED else "success"
        events += self._close_open_parts()
        events.append(self._run_finished({"type": outcome}, result=result))
        return events

    def _run_finished(self, outcome: Mapping[str, Any], **members: Any) -> AguiEvent:
        ids = {"threadId": self.thread_id, "runId": self.run_id}
        return self._event("RUN_FINISHED", **ids, **members, outcome=outcome)

    def _failed(self, error: Error) -> list[AguiEvent]:
        return [*self._close_open_parts(), run_error(error, self._at)]

    def _close_open_parts(self, *, calls: bool = True) -> list[AguiEvent]:
        """Close the open parts. A tool call without a result would ask the client to make the call, but in a run that
        is interrupted (`calls` False) it goes on later.
        """
        self.ended = True
        events: list[AguiEvent] = []
        if self._text is not None:
            events.append(self._event("TEXT_MESSAGE_END", messageId=f"{ANSWER}{self._server_run_id}"))
        unanswered = [call_id for call_id, answered in self._calls.items() if not answered]
        events += [self._result(call_id, "", {"status": "unknown"}) for call_id in unanswered if calls]
        for agent_id in list(reversed(self._steps)):
            events += self._step_finished(agent_id)
        return events


def _interrupt(name: str, reason: str, envelope: Envelope, call_id: str | None, schema: Mapping[str, Any]) -> AguiEvent:
    """Return the interrupt for a decision or an answer that a run waits for."""
    event = envelope.event
    members = {
        "id": name,
        "reason": reason,
        "message": envelope.message,
        "responseSchema": _plain(schema),
        "metadata": {METADATA_KEY: _plain(event_data(event))},
    }
    if isinstance(event, ApprovalRequired | QuestionAsked):
        members["expiresAt"] = iso(event.expires_at)
    return members if call_id is None else members | {"toolCallId": call_id}


def _decision_schema(required: ApprovalRequired) -> Mapping[str, Any]:
    """Return the schema of the payload that resumes a call which waits for approval."""
    return {
        "type": "object",
        "properties": {
            "decision": {"type": "string", "enum": ["allow", "deny"]},
            "note": {"type": "string"},
            "parameters": required.schema or {"type": "object"},
            "remember": {"type": "boolean"},
        },
        "required": ["decision"],
    }


def run_error(error: Error, at_ms: int) -> AguiEvent:
    """Return the event that ends a run for its client, or, as the only event, refuses to start the run."""
    about = {
        name: value for name, value in event_data(error).items() if name not in ("code", "message") and value != ""
    }
    return {
        "type": "RUN_ERROR",
        "timestamp": at_ms,
        "message": error.message,
        "code": error.code,
        "metadata": {METADATA_KEY: about},
    }


def _plain(value: object) -> Any:
    return msgspec.to_builtins(value, enc_hook=dict)


def _json(value: object) -> str:
    return msgspec.json.encode(value, enc_hook=dict).decode()
