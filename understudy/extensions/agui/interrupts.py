"""Tracks what a run waits for: decisions and answers of its user (AG-UI's interrupts), and the client's tools."""

from collections.abc import Mapping
from typing import Any, Final

from attrs import define, field

from transport.wire.codec import plain
from transport.wire.dialects import event_data, iso
from transport.wire.events import Event
from understudy.extensions.agui.vocabulary import METADATA_KEY, AguiEvent
from understudy.wire.events import (
    ApprovalDecided,
    ApprovalRequired,
    Envelope,
    QuestionAnswered,
    QuestionAsked,
    ToolCompleted,
)

ASKS: Final = {"approval": ApprovalRequired.type, "question": QuestionAsked.type}
"""The type of the event that causes an interrupt, by the interrupt's reason."""


@define
class Interrupts:
    """The `open` interrupts of a run, by id, and the calls of its client's tools, by the ids of their questions.

    `resumed` are the questions that the client has just answered: the answers are carried out before the stream begins,
    but their events come later in the log than those of the questions.
    """

    resumed: frozenset[str] = frozenset()
    open: dict[str, AguiEvent] = field(factory=dict, init=False, repr=False)
    client_calls: dict[str, str] = field(factory=dict, init=False)
    expires_at: float = field(default=0.0, init=False)
    _replied: set[str] = field(factory=set, init=False)

    @property
    def answered(self) -> bool:
        """Whether all answers of the client (`resumed`) have arrived from the log."""
        return self.resumed <= self._replied

    @property
    def calling(self) -> list[str]:
        """The ids of calls that wait for the client to make them."""
        return [call_id for name, call_id in self.client_calls.items() if name not in self._replied]

    def of_client(self, event: Event) -> bool:
        """Return whether an event is about a question to the client's program, that is a call of a client's tool."""
        return isinstance(event, QuestionAsked | QuestionAnswered) and event.question_id in self.client_calls

    def apply(self, envelope: Envelope, subagent: Mapping[str, str]) -> None:
        """Apply an event of the run. `subagent` is the event's attribution to a subagent, or empty."""
        event = envelope.event
        match event:
            case ApprovalRequired(call_id=name):
                self.open[name] = _interrupt(name, "approval", envelope, name, _decision_schema(event)) | dict(subagent)
            case QuestionAsked(question_id=name, asked_by="client", call_id=str(call_id), expires_at=expires_at):
                self.client_calls[name] = call_id
                self.expires_at = max(self.expires_at, expires_at)
            case QuestionAsked(question_id=name):
                self.open[name] = _interrupt(name, "question", envelope, event.call_id, event.schema) | dict(subagent)
            case ApprovalDecided(call_id=name) | QuestionAnswered(question_id=name):
                self._replied.add(name)
                self.open.pop(name, None)
            case ToolCompleted(call_id=call_id):
                for name in [name for name, interrupt in self.open.items() if interrupt.get("toolCallId") == call_id]:
                    del self.open[name]
                self._replied |= {name for name, call in self.client_calls.items() if call == call_id}

    def events(self, at_ms: int) -> list[AguiEvent]:
        """Return the open questions as CUSTOM events, for clients that do not understand interrupts."""
        return [
            {
                "type": "CUSTOM",
                "timestamp": at_ms,
                "name": ASKS[interrupt["reason"]],
                "value": interrupt["metadata"][METADATA_KEY],
                **({"subagentRunId": interrupt["subagentRunId"]} if "subagentRunId" in interrupt else {}),
            }
            for interrupt in self.open.values()
        ]

    def calls(self) -> set[str]:
        """Return the ids of the tool calls that wait for the user."""
        return {interrupt["toolCallId"] for interrupt in self.open.values() if "toolCallId" in interrupt}

    def of_subagent(self, agent_id: str) -> list[str]:
        """Return the ids of the interrupts that a subagent raised."""
        return [name for name, interrupt in self.open.items() if interrupt.get("subagentRunId") == agent_id]


def _interrupt(name: str, reason: str, envelope: Envelope, call_id: str | None, schema: Mapping[str, Any]) -> AguiEvent:
    event = envelope.event
    members = {
        "id": name,
        "reason": reason,
        "message": envelope.message,
        "responseSchema": plain(schema),
        "metadata": {METADATA_KEY: plain(event_data(event))},
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
