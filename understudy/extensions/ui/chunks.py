"""Translates events into the chunks of a UI message stream (ai-sdk.dev/docs/ai-sdk-ui/stream-protocol). Pure.

Whatever events come, and wherever they break off, the output is one complete message: it begins with `start`, each
opened part is closed, and it ends with one `finish`, `abort` or `error`.
"""

from typing import Any, TypeAlias

from attrs import define, field

from transport.wire.codec import plain
from transport.wire.dialects import event_data
from transport.wire.events import Drain, Error, Event, PartialResult, Resync
from understudy.wire.codes import ERRORS
from understudy.wire.dialects import OF_CONNECTION
from understudy.wire.events import (
    ANSWER,
    AgentCompleted,
    AgentProgress,
    AgentStarted,
    AgentThinking,
    Alert,
    ApprovalDecided,
    ApprovalRequired,
    Envelope,
    FinalResponse,
    MessageAccepted,
    RunStatus,
    ToolCompleted,
    ToolExecuting,
    ToolPartial,
    ToolStatus,
)

Chunk: TypeAlias = dict[str, Any]


@define
class UiTranslator:
    """Translates the events of a thread into the message of one run.

    When the run waits only for approvals, the message ends: the client sends its user's decisions with a new request,
    in which `decided` are the ids of the decided calls. The parts that the client has already are not sent again then.
    """

    thread_id: str
    run_id: str
    decided: frozenset[str] = frozenset()
    ended: bool = field(default=False, init=False)
    _silent: bool = field(init=False)  # the client has the present parts already
    _started: bool = field(default=False, init=False)
    _waits: set[str] = field(factory=set, init=False)  # ids of the calls that wait for approval
    _calls: dict[str, bool] = field(factory=dict, init=False)  # by the call's id: whether its output was sent
    _partial: dict[str, list[Any]] = field(factory=dict, init=False, repr=False)  # by the call's id: its partial output
    _thoughts: int = field(default=0, init=False)
    _text: str = field(default="", init=False, repr=False)
    _texts: int = field(default=0, init=False)
    _open: str | None = field(default=None, init=False)  # id of the text part that is open
    _why: tuple[str, str] | None = field(default=None, init=False)  # code and sentence of the server's reason to end

    def __attrs_post_init__(self) -> None:
        self._silent = bool(self.decided)

    def translate(self, envelope: Envelope) -> list[Chunk]:
        """Return the chunks for an event, which may be none; after the end they always are."""
        if self.ended:
            return []
        event = envelope.event
        if envelope.run_id is None:
            return self._without_run(envelope)
        if envelope.run_id != self.run_id or isinstance(event, MessageAccepted):
            return []
        if isinstance(event, ApprovalDecided):
            self._waits.discard(event.call_id)
            self.decided -= {event.call_id}
            if self._silent and not self.decided:
                self._silent = False
                return self._ensure_started([])
        chunks = self._translate_event(event)
        return [] if self._silent else self._ensure_started(chunks)

    def pause(self) -> list[Chunk]:
        """Return the chunks that end the message if its run waits only for approvals; otherwise none.

        Call it after each batch of events, as a batch may have a question and its decision.
        """
        if self.ended or self.decided or not self._waits:
            return []
        if any(not answered for name, answered in self._calls.items() if name not in self._waits):
            return []
        self.ended = True
        return [*self._close_text(), {"type": "finish-step"}, {"type": "finish", "finishReason": "tool-calls"}]

    def closing_events(self, code: str) -> list[Chunk]:
        """Return the chunks that end the message although its run continues, or is lost, on the server.

        `code` is one of `understudy.wire.codes.ERRORS`. A reason that the server has sent before takes precedence.
        """
        if self.ended:
            return []
        code, sentence = self._why or (code, ERRORS[code].text)
        return self._failed(sentence)

    def _without_run(self, envelope: Envelope) -> list[Chunk]:
        match envelope.event:
            case Alert() as alert:
                return self._ensure_started([self._data(alert, transient=True)])
            case Drain():
                self._why = ("busy", envelope.message or ERRORS["busy"].text)
            case Error(code=code, message=message):
                self._why = (code, message)
            case Resync():
                return self.closing_events("not_found")
        return []

    def _ensure_started(self, chunks: list[Chunk]) -> list[Chunk]:
        if self._started:
            return chunks
        self._started = True
        metadata = {"threadId": self.thread_id, "runId": self.run_id}
        start = {"type": "start", "messageId": f"{ANSWER}{self.run_id}", "messageMetadata": metadata}
        return [start, {"type": "start-step"}, *chunks]

    def _translate_event(self, event: Event) -> list[Chunk]:
        match event:
            case AgentStarted() | AgentCompleted():
                return []
            case AgentThinking(thought=thought):
                return self._reasoning(thought)
            case ToolExecuting() as call:
                return self._call(call)
            case ToolPartial() as partial:
                return self._more_output(partial)
            case ToolCompleted() as call:
                return self._output(call)
            case ApprovalRequired(call_id=name):
                self._waits.add(name)
                return [{"type": "tool-approval-request", "approvalId": name, "toolCallId": name}]
            case PartialResult() as piece:
                fresh = piece.beyond(self._text)
                return self._say(fresh) if fresh else []
            case FinalResponse() as answer:
                return self._finished(answer)
            case Error(message=sentence):
                return self._failed(sentence)
            case AgentProgress():
                return [self._data(event, transient=True)]
            case event if isinstance(event, OF_CONNECTION):
                return []
            case event:
                return [self._data(event)]

    def _data(self, event: Event, **members: Any) -> Chunk:
        return {"type": f"data-{event.type}", "data": plain(event_data(event))} | members

    def _reasoning(self, thought: str) -> list[Chunk]:
        self._thoughts += 1
        name = f"thought-{self._thoughts}"
        return [
            *self._close_text(),
            {"type": "reasoning-start", "id": name},
            {"type": "reasoning-delta", "id": name, "delta": thought},
            {"type": "reasoning-end", "id": name},
        ]

    # The server runs the tools: `providerExecuted` tells the client not to run them, and `dynamic` that it need not
    # know their types.
    def _call(self, call: ToolExecuting) -> list[Chunk]:
        if call.call_id in self._calls:
            return []
        self._calls[call.call_id] = False
        chunk = {"toolCallId": call.call_id, "toolName": call.tool_name, "input": plain(call.parameters)}
        flags = {"providerExecuted": True, "dynamic": True, "title": call.description or call.tool_name}
        return [*self._close_text(), {"type": "tool-input-available", **chunk, **flags}]

    def _more_output(self, partial: ToolPartial) -> list[Chunk]:
        if self._calls.get(partial.call_id) is not False:
            return []
        items = self._partial.setdefault(partial.call_id, [])
        items[partial.offset :] = plain(partial.items)
        return [self._output_chunk(partial.call_id, list(items), preliminary=True)]

    def _output(self, call: ToolCompleted) -> list[Chunk]:
        self._waits.discard(call.call_id)
        if self._calls.get(call.call_id) is not False:
            return []
        self._calls[call.call_id] = True
        self._partial.pop(call.call_id, None)
        if call.status is ToolStatus.OK:
            return [self._output_chunk(call.call_id, call.result_summary if call.result is None else call.result)]
        if call.status is ToolStatus.DENIED:
            return [{"type": "tool-output-denied", "toolCallId": call.call_id}]
        return [self._output_error(call.call_id, call.result_summary)]

    def _output_chunk(self, call_id: str, output: Any, **members: Any) -> Chunk:
        chunk = {"toolCallId": call_id, "output": plain(output), "providerExecuted": True, "dynamic": True}
        return {"type": "tool-output-available"} | chunk | members

    def _output_error(self, call_id: str, sentence: str) -> Chunk:
        chunk = {"toolCallId": call_id, "errorText": sentence, "providerExecuted": True, "dynamic": True}
        return {"type": "tool-output-error"} | chunk

    def _say(self, text: str) -> list[Chunk]:
        chunks: list[Chunk] = []
        if self._open is None:
            self._texts += 1
            self._open = f"text-{self._texts}"
            chunks.append({"type": "text-start", "id": self._open})
        self._text += text
        return [*chunks, {"type": "text-delta", "id": self._open, "delta": text}]

    def _close_text(self) -> list[Chunk]:
        if self._open is None:
            return []
        name, self._open = self._open, None
        return [{"type": "text-end", "id": name}]

    def _finished(self, answer: FinalResponse) -> list[Chunk]:
        self._silent = False
        sent = self._text
        chunks: list[Chunk] = []
        if len(answer.message) > len(sent) and answer.message.startswith(sent):
            chunks += self._say(answer.message[len(sent) :])
        chunks += self._close_parts()
        if answer.visualization is not None:
            chunks.append({"type": "data-visualization", "data": plain(answer.visualization)})
        metadata = plain({"usage": answer.usage, "status": answer.status.value, "data": answer.data})
        self.ended = True
        if answer.status is RunStatus.CANCELLED:
            return [*chunks, {"type": "message-metadata", "messageMetadata": metadata}, {"type": "abort"}]
        reason = "error" if answer.status is RunStatus.FAILED else "stop"
        end = {"type": "finish", "finishReason": reason, "messageMetadata": metadata}
        return [*chunks, {"type": "finish-step"}, end]

    def _failed(self, sentence: str) -> list[Chunk]:
        self._silent = False
        chunks = self._ensure_started(self._close_parts())
        self.ended = True
        return [*chunks, {"type": "error", "errorText": sentence}]

    def _close_parts(self) -> list[Chunk]:
        unanswered = [name for name, answered in self._calls.items() if not answered]
        return [*self._close_text(), *(self._output_error(name, "The call was not ended.") for name in unanswered)]
