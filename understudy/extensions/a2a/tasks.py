"""Translates the events of one run into those of an A2A task (a2a-protocol.org) with the run's id. Pure."""

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

from attrs import define, field

from transport.wire.codec import plain
from transport.wire.dialects import iso
from transport.wire.events import Error, Event, PartialResult
from understudy.extensions.doors.message_content import text_of_data
from understudy.wire import events
from understudy.wire.events import ApprovalRequired, Envelope, FinalResponse, QuestionAsked, RunStatus

A2aEvent: TypeAlias = dict[str, Any]
Wait: TypeAlias = ApprovalRequired | QuestionAsked
ANSWER: Final = "answer"
"""Id of the artifact that holds the answer."""
SUBMITTED: Final = "TASK_STATE_SUBMITTED"
WORKING: Final = "TASK_STATE_WORKING"
INPUT_REQUIRED: Final = "TASK_STATE_INPUT_REQUIRED"
FAILED: Final = "TASK_STATE_FAILED"
CANCELED: Final = "TASK_STATE_CANCELED"
FINAL: Final = {
    RunStatus.SUCCESS: "TASK_STATE_COMPLETED",
    RunStatus.CANCELLED: CANCELED,
    RunStatus.FAILED: FAILED,
    RunStatus.INTERRUPTED: FAILED,
}
"""The state of an ended task by the status of its run."""
PUSHED: Final[tuple[type[Event], ...]] = (
    events.AgentStarted, ApprovalRequired, events.ApprovalDecided, QuestionAsked, events.QuestionAnswered,
    FinalResponse, Error,
)  # fmt: skip
"""The events that change the state of a task; push notifications are sent for these."""


@define
class TaskTranslator:
    """Translates the events of a thread into those of the task of one run.

    `address` is this server's URL, for links to an answer's files; without it they stay data. `history_length` limits
    the messages in the task; None means all. A translator ends with the task, and, unless `lasting`, also when the task
    needs its user. `unheard` are the ids of calls and questions that the client has just replied to: until these
    replies are in the log, the task does not ask for input.
    """

    context_id: str
    task_id: str
    address: str = ""
    history_length: int | None = None
    lasting: bool = False
    unheard: set[str] = field(factory=set)
    ended: bool = field(default=False, init=False)
    seq: int = field(default=0, init=False)  # of the last event of the task
    waits: dict[str, Wait] = field(factory=dict, init=False, repr=False)  # by id of call or question, oldest first
    status: A2aEvent = field(factory=lambda: {"state": SUBMITTED}, init=False, repr=False)
    _at: float = field(default=0.0, init=False)
    text: str = field(default="", init=False, repr=False)  # of the answer so far
    _others: list[A2aEvent] = field(factory=list, init=False, repr=False)  # parts of the answer after its text
    _history: list[A2aEvent] = field(factory=list, init=False, repr=False)
    _calls: set[str] = field(factory=set, init=False)  # calls being made

    @property
    def state(self) -> str:
        """The state of the task."""
        return str(self.status["state"])

    def translate(self, envelope: Envelope) -> list[A2aEvent]:
        """Return A2A's events for an event of the thread, often none; always none after the end."""
        if self.ended or envelope.run_id != self.task_id:
            return []
        self.seq, self._at = envelope.seq or self.seq, envelope.timestamp
        match event := envelope.event:
            case events.MessageAccepted(message_id=name, content=content):
                self._update(SUBMITTED)
                data = (event.context or {}).get("data")
                data = data if isinstance(data, list) else []  # messages over other doors may have any value here
                texts = [] if content == text_of_data(data) else _texts(content)
                self._history.append(self._message("USER", name, texts + [_value(value) for value in data]))
            case events.AgentStarted() if self.state == SUBMITTED:
                return [self._update(WORKING)]
            case events.AgentThinking(thought=thought):
                return [self._update(WORKING, _texts(thought))]
            case events.ToolExecuting(call_id=name):
                self._calls.add(name)
                call = {"call_id": name, "tool": event.tool_name, "parameters": event.parameters}
                return [self._update(WORKING, [*_texts(event.description or event.tool_name), _value(call)])]
            case events.ToolCompleted(call_id=name):
                self._calls.discard(name)
                self.waits = {key: wait for key, wait in self.waits.items() if wait.call_id != name}
            case ApprovalRequired(call_id=name) | QuestionAsked(question_id=name):
                self.waits[name] = event
            case events.ApprovalDecided(call_id=name) | events.QuestionAnswered(question_id=name):
                return self._replied(name, event)
            case PartialResult() if fresh := event.beyond(self.text):
                self.text += fresh
                return [self._artifact_update(_texts(fresh), append=self.text != fresh)]
            case FinalResponse() as answer:
                return self._finished(answer)
            case Error(message=sentence):
                self.ended = True
                failure = {"code": event.code, "error_id": event.error_id, "retryable": event.retryable}
                return [self._update(FAILED, [*_texts(sentence), {"data": failure}])]
        return []

    def pause(self) -> list[A2aEvent]:
        """Return the event that asks the user for input, if the task only waits for that and has not asked yet.

        Call it after each batch of events, not after each event, because a batch may have the question and its reply.
        """
        if self.ended or not self.waits or self.unheard:
            return []
        if not self._calls <= {wait.call_id for wait in self.waits.values()}:
            return []
        self.ended = not self.lasting
        parts = [part for wait in self.waits.values() for part in _question(wait)]
        if self.state == INPUT_REQUIRED and self.status["message"]["parts"] == parts:
            return []
        return [self._update(INPUT_REQUIRED, parts)]

    def notification(self) -> A2aEvent:
        """Return the body of a push notification after the events so far: the status, or the task if it has ended.

        The translator cannot be used afterwards.
        """
        if self.state in FINAL.values():
            return {"task": self.task()}
        self._calls.clear()
        return self.pause()[0] if self.waits else self._update(WORKING)

    def closing_events(self, _: str = "") -> list[A2aEvent]:
        """End the stream while the task goes on. Return no events, because the client may subscribe again."""
        self.ended = True
        return []

    def task(self) -> A2aEvent:
        """Return the task as it is after the events so far."""
        task: A2aEvent = {"id": self.task_id, "contextId": self.context_id, "status": self.status}
        if parts := _texts(self.text) + self._others:
            task["artifacts"] = [{"artifactId": ANSWER, "name": ANSWER, "parts": parts}]
        left_out = 0 if self.history_length is None else max(0, len(self._history) - self.history_length)
        if history := self._history[left_out:]:
            task["history"] = history
        return task

    def _replied(self, name: str, event: events.ApprovalDecided | events.QuestionAnswered) -> list[A2aEvent]:
        """Add the question and its reply to the history. Return the event that the task works on, if it does again."""
        self.unheard.discard(name)
        wait = self.waits.pop(name, None)
        if wait is not None and (parts := _reply(event)):
            self._history.append(self._message("AGENT", f"{self.task_id}-{name}", _question(wait)))
            self._history.append(self._message("USER", f"{self.task_id}-{name}-reply", parts))
        return [self._update(WORKING)] if self.state == INPUT_REQUIRED and not self.waits else []

    def _finished(self, answer: FinalResponse) -> list[A2aEvent]:
        self.ended = True
        sent_text, self.text, data = self.text, answer.message, dict(answer.data or {})
        files = data.pop("files", ()) if self.address else ()
        self._others = [
            {"url": f"{self.address}/api/files/{file['id']}", "filename": file["name"], "mediaType": file["media_type"]}
            for file in files
        ]
        self._others += [_value(value) for value in (answer.visualization, data) if value]
        grows = self.text.startswith(sent_text)
        parts = _texts(self.text[len(sent_text) :] if grows else self.text) + self._others
        updates = [self._artifact_update(parts, append=grows and bool(sent_text), last=True)] if parts else []
        return [*updates, self._update(FINAL[answer.status])]

    def _artifact_update(self, parts: Sequence[A2aEvent], *, append: bool, last: bool = False) -> A2aEvent:
        artifact = {"artifactId": ANSWER, "name": ANSWER, "parts": parts}
        return {"artifactUpdate": {**self._ids(), "artifact": artifact, "append": append, "lastChunk": last}}

    def _update(self, state: str, parts: Sequence[A2aEvent] = ()) -> A2aEvent:
        self.status = {"state": state, "timestamp": iso(self._at)}
        if parts:
            self.status["message"] = self._message("AGENT", f"{self.task_id}-{self.seq}", parts)
        return {"statusUpdate": {**self._ids(), "status": self.status}}

    def _message(self, role: str, name: str, parts: Sequence[A2aEvent]) -> A2aEvent:
        return {"messageId": name, "role": f"ROLE_{role}", "parts": parts, **self._ids()}

    def _ids(self) -> dict[str, str]:
        return {"taskId": self.task_id, "contextId": self.context_id}


def _question(wait: Wait) -> list[A2aEvent]:
    """Return the parts of the message by which a task asks for consent or an answer."""
    if isinstance(wait, ApprovalRequired):
        call = {"call_id": wait.call_id, "tool": wait.tool_name, "parameters": wait.parameters}
        return [*_texts(f"May {wait.tool_name} be called? Reply with allow or deny."), _value(call)]
    sentence = "\n".join(filter(None, (wait.title, wait.text)))
    return [*_texts(sentence), _value({"question_id": wait.question_id, "schema": wait.schema})]


def _reply(event: events.ApprovalDecided | events.QuestionAnswered) -> list[A2aEvent]:
    """Return the parts of the user's reply: a text if it is one text, else data; none if they did not answer."""
    if isinstance(event, events.ApprovalDecided):
        return [] if event.decision is events.ApprovalDecision.EXPIRED else _texts(event.note or str(event.decision))
    answer = event.answer or {}
    texts = [text for text in answer.values() if isinstance(text, str)]
    return _texts(texts[0]) if len(texts) == len(answer) == 1 else [_value({"answer": answer})] if answer else []


def _texts(text: str) -> list[A2aEvent]:
    return [{"text": text}] if text else []


def _value(value: Any) -> A2aEvent:
    return {"data": plain(value)}
