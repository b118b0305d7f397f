"""Translate events into those of an A2A task (a2a-protocol.org), for one run: the run's id is the task's. Pure."""

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
"""Id of the artifact that is the answer."""
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
"""The events that change the state of a task, of which those are told who asked for push notifications."""


@define
class TaskTranslator:
    """Translates the events of a thread into those of the task of one run.

    `address` is that of this server, for the files of an answer; without it they are data. `history_length` bounds the
    messages of the task, None: all. A translator ends with the task, and when that needs its user, unless `lasting`.
    `unheard` are the ids of calls and questions that the client has just replied to: the task does not ask for input
    before these replies are in the log.
    """

    context_id: str
    task_id: str
    address: str = ""
    history_length: int | None = None
    lasting: bool = False
    unheard: set[str] = field(factory=set)
    ended: bool = field(default=False, init=False)
    seq: int = field(default=0, init=False)  # of the last event of the task
    waits: dict[str, Wait] = field(factory=dict, init=False, repr=False)  # by call or question, oldest first
    status: A2aEvent = field(factory=lambda: {"state": SUBMITTED}, init=False, repr=False)
    _at: float = field(default=0.0, init=False)
    text: str = field(default="", init=False, repr=False)  # of the answer so far
    _others: list[A2aEvent] = field(factory=list, init=False, repr=False)  # parts of the answer behind its text
    _history: list[A2aEvent] = field(factory=list, init=False, repr=False)
    _calls: set[str] = field(factory=set, init=False)  # at work

    @property
    def state(self) -> str:
        """The state of the task."""
        return str(self.status["state"])

    def translate(self, envelope: Envelope) -> list[A2aEvent]:
        """Return the stream responses for an event, often none; always none after the end."""
        if self.ended or envelope.run_id != self.task_id:
            return []
        self.seq, self._at = envelope.seq or self.seq, envelope.timestamp
        match event := envelope.event:
            case events.MessageAccepted(message_id=name, content=content):
                self._update(SUBMITTED)
                data = (event.context or {}).get("data")
                data = data if isinstance(data, list) else []  # of another door it may be anything
                texts = [] if content == text_of_data(data) else _texts(content)
                self._history.append(self._message("USER", name, texts + [_value(value) for value in data]))
            case events.AgentStarted() if self.state == SUBMITTED:
                return [self._update(WORKING)]
            case events.AgentThinking(thought=thought):
                return [self._update(WORKING, _texts(thought))]
            case events.ToolExecuting(call_id=name):
                self._calls.add(name)
                about = {"call_id": name, "tool": event.tool_name, "parameters": event.parameters}
                return [self._update(WORKING, [*_texts(event.description or event.tool_name), _value(about)])]
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
        """Return the response that says what the task asks, if it only waits for its user and has not said it.

        Call it after each batch of events, as a reply may come with its question.
        """
        if self.ended or not self.waits or self.unheard:
            return []
        if not self._calls <= {wait.call_id for wait in self.waits.values()}:
            return []
        self.ended = not self.lasting
        parts = [part for wait in self.waits.values() for part in _asked(wait)]
        if self.state == INPUT_REQUIRED and self.status["message"]["parts"] == parts:
            return []
        return [self._update(INPUT_REQUIRED, parts)]

    def notification(self) -> A2aEvent:
        """Return what a push notification tells of the task after the events so far: its state; the task if it ended.

        Call nothing after it.
        """
        if self.state in FINAL.values():
            return {"task": self.task()}
        self._calls.clear()
        return self.pause()[0] if self.waits else self._update(WORKING)

    def closing_events(self, _: str = "") -> list[A2aEvent]:
        """Return the responses that end the stream while the task goes on: none, as the client may subscribe again."""
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
        """Have question and reply in the history; the task goes on if it waits for nothing else."""
        self.unheard.discard(name)
        wait = self.waits.pop(name, None)
        if wait is not None and (parts := _reply(event)):
            self._history.append(self._message("AGENT", f"{self.task_id}-{name}", _asked(wait)))
            self._history.append(self._message("USER", f"{self.task_id}-{name}-reply", parts))
        return [self._update(WORKING)] if self.state == INPUT_REQUIRED and not self.waits else []

    def _finished(self, answer: FinalResponse) -> list[A2aEvent]:
        self.ended = True
        sent, self.text, data = self.text, answer.message, dict(answer.data or {})
        files = data.pop("files", ()) if self.address else ()
        self._others = [
            {"url": f"{self.address}/api/files/{file['id']}", "filename": file["name"], "mediaType": file["media_type"]}
            for file in files
        ]
        self._others += [_value(value) for value in (answer.visualization, data) if value]
        grows = self.text.startswith(sent)
        parts = _texts(self.text[len(sent) :] if grows else self.text) + self._others
        updates = [self._artifact_update(parts, append=grows and bool(sent), last=True)] if parts else []
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


def _asked(wait: Wait) -> list[A2aEvent]:
    """Return what a task says that it asks."""
    if isinstance(wait, ApprovalRequired):
        about = {"call_id": wait.call_id, "tool": wait.tool_name, "parameters": wait.parameters}
        return [*_texts(f"May {wait.tool_name} be called? Reply with allow or deny."), _value(about)]
    sentence = "\n".join(filter(None, (wait.title, wait.text)))
    return [*_texts(sentence), _value({"question_id": wait.question_id, "schema": wait.schema})]


def _reply(event: events.ApprovalDecided | events.QuestionAnswered) -> list[A2aEvent]:
    """Return what the user has said: a text, if that says it all; nothing if they did not answer."""
    if isinstance(event, events.ApprovalDecided):
        return [] if event.decision is events.ApprovalDecision.EXPIRED else _texts(event.note or str(event.decision))
    answer = event.answer or {}
    texts = [text for text in answer.values() if isinstance(text, str)]
    return _texts(texts[0]) if len(texts) == len(answer) == 1 else [_value({"answer": answer})] if answer else []


def _texts(text: str) -> list[A2aEvent]:
    return [{"text": text}] if text else []


def _value(value: Any) -> A2aEvent:
    return {"data": plain(value)}
