"""The dialects of the chat: one function each, from an envelope to the value that is encoded as JSON. Pure."""

import enum
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from msgspec import UNSET, Struct

from transport.wire.dialects import Endpoints, Frame, build_frame, canonical, event_data, struct_members, wire_fields
from transport.wire.events import Drain, Error, Event, Ping, Pong, Resync, Welcome
from transport.wire.unknown_event import UnknownEvent
from understudy.wire.events import (
    AgentCompleted,
    Alert,
    AnswersRead,
    ApprovalRequired,
    AskedAgent,
    Envelope,
    FeedbackGiven,
    FinalResponse,
    SanitizationSummary,
    ThreadChanged,
    ThreadTitled,
    ToolExecuting,
    Typing,
)

# The `type` of an answer in the agent response dialect: the first of these kinds that a tool result has.
ANSWER_KINDS: Final = ("drill_down", "analysis")
# What a dialect shows that has no form of its own for each event. Every event is an answer, belongs to the connection,
# or else is a step of a run: so an event that is added later has a form in every dialect.
# - canonical, payload, flat, agent events: all events.
# - agent response: the answers only, as its clients take every frame for an answer.
# - AG-UI: nothing that belongs to the connection; steps that it has no events for are CUSTOM.
ANSWERS: Final[tuple[type[Event], ...]] = (FinalResponse, Error, Alert, SanitizationSummary)
OF_CONNECTION: Final[tuple[type[Event], ...]] = (
    Welcome,
    Typing,
    FeedbackGiven,
    ThreadTitled,
    ThreadChanged,
    AnswersRead,
    Drain,
    Ping,
    Pong,
    Resync,
)
# Members of `payload` that clients of older servers read under another name, which is sent beside ours.
ALIASES: Final[Mapping[type[Event], Mapping[str, str]]] = MappingProxyType(
    {
        ToolExecuting: MappingProxyType({"parameters": "tool_args"}),
        ApprovalRequired: MappingProxyType({"parameters": "tool_args"}),
        AgentCompleted: MappingProxyType({"result": "agent_response"}),
        FinalResponse: MappingProxyType({"message": "agent_response"}),
    }
)
# Names of the envelope that such clients read inside `payload`.
PAYLOAD_NAMES: Final = ("thread_id", "run_id", "message_id", "agent_type")


def payload(envelope: Envelope) -> Struct:
    """Return the whole envelope, with the event's fields under `payload`, and the aliases that older clients read
    there.

    A field of the event takes precedence over one of the envelope, as `message_id` of a `feedback` does, also if the
    event's is omitted.
    """
    data = event_data(envelope.event)
    for name, alias in ALIASES.get(type(envelope.event), {}).items():
        data[alias] = data[name]
    for name in PAYLOAD_NAMES:
        if (value := getattr(envelope, name)) is not None and not hasattr(envelope.event, name):
            data[name] = value
    if envelope.agent_type is not None:
        data["agent_name"] = envelope.pillar or envelope.agent_type
    return build_frame(envelope, "payload", data)


def flat(envelope: Envelope) -> Frame:
    """Return the event's fields at the top level, over those of the envelope; `timestamp` is the envelope's.

    The `data` of a final response is called `details`, as a flat event has no member `data`. The `message` of an
    `agent_completed` is its result, if it has one.
    """
    frame = struct_members(build_frame(envelope, "data", UNSET))
    data = event_data(envelope.event)
    fields = () if isinstance(envelope.event, UnknownEvent) else wire_fields(type(envelope.event))
    for _, name, optional in fields:
        if optional and name not in data:  # the envelope's member of that name is another
            frame.pop(name, None)
    for name, value in data.items():
        if name == "data":
            frame["details"] = value
        elif name != "timestamp":
            frame[name] = value
    match envelope.event:
        case AgentCompleted(result=result) if result:
            frame["message"] = result
    return frame


def agent_response(envelope: Envelope) -> Frame | None:
    """Return one object per answer, with seven fixed members, under the name of the agent that was asked.

    If another agent gave the answer, `answered_by` names it, in `data` and as an eighth member. Return None for an
    event that is not one of `ANSWERS`.
    """
    return agent_event(envelope) if isinstance(envelope.event, ANSWERS) else None


def agent_event(envelope: Envelope) -> Frame:
    """Return the object of an answer as `agent_response` does, and any other event in the same members."""
    speaker = AskedAgent(envelope.agent_type, envelope.pillar) if envelope.agent_type is not None else None
    agent = envelope.asked_agent or speaker
    frame: Frame = {
        "agent_type": None if agent is None else agent.agent_type,
        "pillar": None if agent is None else agent.pillar,
        "message": envelope.message,
        "conversation_id": envelope.conversation_id,
        "type": envelope.event.type,
        "data": None,
        "visualization": None,
    }
    match envelope.event:
        case FinalResponse() as answer:
            frame |= {"message": answer.message, "type": _answer_kind(answer), "data": answer.data}
            frame["visualization"] = answer.visualization
        case Error() | Alert() as notice:
            data = event_data(notice)
            frame |= {"message": data.pop("message"), "data": {"kind": notice.type, **data}}
        case SanitizationSummary() as summary:
            frame["data"] = {"kind": summary.type, **event_data(summary)}
        case event:
            frame["data"] = event_data(event)
    if envelope.asked_agent is not None:
        frame["data"] = {**(frame["data"] or {}), "answered_by": speaker}
        frame["answered_by"] = speaker
    return frame


def _answer_kind(answer: FinalResponse) -> str:
    if answer.visualization is not None:
        return "visualization"
    results = () if answer.data is None else answer.data.get("results", ())
    kinds = {result.get("kind") for result in results}
    return next((kind for kind in ANSWER_KINDS if kind in kinds), "message")


class Dialect(enum.Enum):
    """The form of a connection's events."""

    CANONICAL = "canonical"
    FLAT = "flat"
    PAYLOAD = "payload"
    AGENT_RESPONSE = "agent_response"
    AGENT_EVENTS = "agent_events"

    @property
    def render(self) -> Callable[[Envelope], Any]:
        """The function that makes frames."""
        return RENDER[self]

    @property
    def shows_text(self) -> bool:
        """Whether pieces of streamed text are shown."""
        return self is not Dialect.AGENT_RESPONSE


RENDER: Final[Mapping[Dialect, Callable[[Envelope], Any]]] = MappingProxyType(
    {
        Dialect.CANONICAL: canonical,
        Dialect.FLAT: flat,
        Dialect.PAYLOAD: payload,
        Dialect.AGENT_RESPONSE: agent_response,
        Dialect.AGENT_EVENTS: agent_event,
    }
)

SUBPROTOCOL: Final = "understudy.v1"
"""The subprotocol of the canonical dialect."""
SUBPROTOCOLS: Final = MappingProxyType(
    {
        SUBPROTOCOL: Dialect.CANONICAL,
        "understudy.flat": Dialect.FLAT,
        "understudy.payload": Dialect.PAYLOAD,
        "understudy.agent_events": Dialect.AGENT_EVENTS,
    }
)
ENDPOINTS: Final = Endpoints(
    {"/ws": Dialect.CANONICAL, "/api/ws/agent": Dialect.AGENT_RESPONSE}, SUBPROTOCOLS, tuple(Dialect)
)
