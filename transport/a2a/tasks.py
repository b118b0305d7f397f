"""Translate events into those of an A2A task (a2a-protocol.org), for one run: the run's id is the task's. Pure.

The stream of a task begins with the task, and ends with a status that is final or asks for input.
"""

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import msgspec
from attrs import define, field

from transport.wire.codes import ERRORS
from transport.wire.dialects import iso
from transport.wire.events import (
    AgentStarted,
    AgentThinking,
    ApprovalDecided,
    ApprovalRequired,
    Envelope,
    Error,
    Event,
    FinalResponse,
    MessageAccepted,
    PartialResult,
    QuestionAnswered,
    QuestionAsked,
    RunStatus,
    ToolCompleted,
    ToolExecuting,
)

A2aEvent: TypeAlias = dict[str, Any]
ANSWER: Final = "answer"
"""Id of the artifact that is the answer."""
SUBMITTED: Final = "TASK_STATE_SUBMITTED"
WORKING: Final = "TASK_STATE_WORKING"
INPUT_REQUIRED: Final = "TASK_STATE_INPUT_REQUIRED"
COMPLETED: Final = "TASK_STATE_COMPLETED"
FAILED: Final = "TASK_STATE_FAILED"
CANCELED: Final = "TASK_STATE_CANCELED"
FINAL: Final = (COMPLETED, FAILED, CANCELED)
_STATE_OF: Final = {
    RunStatus.SUCCESS: COMPLETED,
    RunStatus.CANCELLED: CANCELED,
    RunStatus.FAILED: FAILED,
    RunStatus.INTERRUPTED: FAILED,
}

PUSHED: Final[tuple[type[Event], ...]] = (
    AgentStarted, ApprovalRequired, ApprovalDecided, QuestionAsked, QuestionAnswered, FinalResponse, Error,
)  # fmt: skip
"""The events that change the state of a task, of which those are told who asked for push notifications."""


@define
class TaskTranslator:
    """Translates the events of a thread into those of the task of one run.

    `answered` are the ids of calls and questions that the client has just replied to: the task does not ask for input
    before these replies are in the log.
    """

    context_id: str
    task_id: str
    answered: frozenset[str] = frozenset()
    ended: bool = field(default=False, init=False)
    state: str = field(default=SUBMITTED, init=False)
    _status: A2aEvent = field(factory=dict, init=False, repr=False)
    _began: bool = field(default=False, init=False)
    _text: str = field(default="", init=False, repr=False)
    _data: list[Any] = field(factory=list, init=False, repr=False)
    _waits: dict[str, A2aEvent] = field(factory=dict, init=False, repr=False)
    _replied: set[str] = field(factory=set, init=False)
    _calls: set[str] = field(factory=set, init=False)  # at work
    _waiting: dict[str, str | None] = field(factory=dict, init=False)  # the call of each wait
    _at: float = field(default=0.0, init=False)

    def translate(self, envelope: Envelope) -> list[A2aEvent]:
        """Return the stream responses for an event, often none; always none after the end."""
        if self.ended or envelope.run_id != self.task_id:
            return []
        self._at = envelope.timestamp
        began = [] if self._began else [{"task": self.task()}]
        self._began = True
        return [*began, *self._translate_event(envelope.event)]

    def pause(self) -> list[A2aEvent]:
        """Return the response that ends the stream if the task only waits for its user; else none.

        Call it after each batch of events, as a reply may come with its question.
        """
        if self.ended or not self._waits or not self.answered <= self._replied:
            return []
        if not self._calls <= {each for each in self._waiting.values() if each is not None}:
            return []
        self.ended = True
        return [self._ask()]

    def notification(self) -> A2aEvent:
        """Return what a push notification tells of the task after the events so far: its state; the task if it ended.

        Call nothing after it.
        """
        if self.state in FINAL:
            return {"task": self.task()}
        return self._ask() if self._waits else self._update(WORKING, None)

    def _ask(self) -> A2aEvent:
        parts = [part for wait in self._waits.values() for part in wait["parts"]]
        return self._update(INPUT_REQUIRED, self._message("asks", parts))

    def closing_events(self, _: str = "") -> list[A2aEvent]:
        """Return the responses that end the stream while the task goes on: none, as the client may subscribe again."""
        if self.ended:
            return []
        self.ended = True
        return [] if self._began else [{"task": self.task()}]

    def task(self) -> A2aEvent:
        """Return the task as it is after the events so far."""
        status = self._status or {"state": self.state, "timestamp": iso(self._at)}
        task: A2aEvent = {"id": self.task_id, "contextId": self.context_id, "status": status}
        if self._text or self._data:
            task["artifacts"] = [self._artifact(self._text)]
        return task

    def _translate_event(self, event: Event) -> list[A2aEvent]:
        match event:
            case MessageAccepted():
                return []
            case AgentThinking(thought=thought):
                return [self._update(WORKING, self._message("thinks", [_text(thought)]))]
            case ToolExecuting(call_id=name):
                self._calls.add(name)
                sentence = event.description or event.tool_name
                about = {"call_id": name, "tool": event.tool_name, "parameters": _plain(event.parameters)}
                return [self._update(WORKING, self._message("calls", [_text(sentence), _value(about)]))]
            case ToolCompleted(call_id=name):
                self._calls.discard(name)
                for wait in [wait for wait, call in self._waiting.items() if call == name]:
                    self._forget(wait)
                return []
            case ApprovalRequired(call_id=name):
                ask = f"May {event.tool_name} be called? Reply with allow or deny."
                about = {"call_id": name, "tool": event.tool_name, "parameters": _plain(event.parameters)}
                self._wait(name, name, [_text(ask), _value(about)])
            case QuestionAsked(question_id=name):
                sentence = "\n".join(filter(None, (event.title, event.text)))
                about = {"question_id": name, "schema": _plain(event.schema)}
                self._wait(name, event.call_id, [_text(sentence), _value(about)])
            case ApprovalDecided(call_id=name) | QuestionAnswered(question_id=name):
                self._replied.add(name)
                self._forget(name)
            case PartialResult(text=text, offset=offset):
                return self._more_text(text, offset)
            case FinalResponse() as answer:
                return self._finished(answer)
            case Error(message=sentence, code=code):
                self.ended = True
                about = {"code": code, "error_id": event.error_id, "retryable": event.retryable}
                return [self._update(FAILED, self._message("failed", [_text(sentence), _value(about)]))]
        return []

    def _wait(self, name: str, call_id: str | None, parts: list[A2aEvent]) -> None:
        self._waits[name], self._waiting[name] = {"parts": parts}, call_id

    def _forget(self, name: str) -> None:
        self._waits.pop(name, None)
        self._waiting.pop(name, None)

    def _more_text(self, text: str, offset: int) -> list[A2aEvent]:
        sent = self._text
        known, fresh = text[: len(sent) - offset], text[len(sent) - offset :]
        if offset > len(sent) or not fresh:
            return []
        if not sent.startswith(known, offset):  # the answer is written again
            self._text = sent[:offset] + text
            return [self._artifact_update(self._text, append=False)]
        self._text += fresh
        return [self._artifact_update(fresh, append=bool(sent))]

    def _finished(self, answer: FinalResponse) -> list[A2aEvent]:
        self.ended = True
        sent, whole = self._text, answer.message
        self._text = whole
        self._data = [_plain(each) for each in (answer.visualization, answer.data) if each]
        grows = whole.startswith(sent) and not self._data
        updates = []
        if whole != sent or self._data:
            text = whole[len(sent) :] if grows else whole
            updates.append(self._artifact_update(text, append=grows and bool(sent), last=True))
        return [*updates, self._update(_STATE_OF[answer.status], None)]

    def _artifact(self, text: str) -> A2aEvent:
        parts = [*([_text(text)] if text else []), *map(_value, self._data)]
        return {"artifactId": ANSWER, "name": ANSWER, "parts": parts}

    def _artifact_update(self, text: str, *, append: bool, last: bool = False) -> A2aEvent:
        ids = {"taskId": self.task_id, "contextId": self.context_id}
        update = {**ids, "artifact": self._artifact(text), "append": append, "lastChunk": last}
        return {"artifactUpdate": update}

    def _update(self, state: str, message: A2aEvent | None) -> A2aEvent:
        self.state = state
        self._status = {"state": state, "timestamp": iso(self._at)}
        if message is not None:
            self._status["message"] = message
        ids = {"taskId": self.task_id, "contextId": self.context_id}
        return {"statusUpdate": {**ids, "status": self._status}}

    def _message(self, name: str, parts: list[A2aEvent]) -> A2aEvent:
        ids = {"taskId": self.task_id, "contextId": self.context_id}
        return {"messageId": f"{self.task_id}-{name}", "role": "ROLE_AGENT", "parts": parts, **ids}


def refusal(code: str, message: str) -> A2aEvent:
    """Return the JSON-RPC error of a refusal; `code` is one of `transport.wire.codes.ERRORS`."""
    number = -32001 if code == "not_found" else -32602 if ERRORS[code].http_status < 500 else -32603
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": code.upper(), "domain": "understudy"}
    return {"code": number, "message": message, "data": [info]}


def _text(text: str) -> A2aEvent:
    return {"text": text}


def _value(value: Any) -> A2aEvent:
    return {"data": value}


def _plain(value: object) -> Any:
    return msgspec.to_builtins(dict(value) if isinstance(value, Mapping) else value, enc_hook=dict)
