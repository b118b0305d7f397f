"""The dialects: one function each, from an envelope to the value that is encoded as JSON; and their negotiation."""

import enum
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Final, TypeAlias, TypeVar

import attrs
import msgspec
from attrs import frozen
from msgspec import UNSET, UnsetType

from transport.wire.errors import UnknownEndpoint
from transport.wire.events import (
    EVENTS,
    AgentCompleted,
    AgentHandoff,
    Alert,
    AnswersRead,
    ApprovalRequired,
    AskedAgent,
    Drain,
    Envelope,
    Error,
    Event,
    FeedbackGiven,
    FinalResponse,
    Ping,
    Pong,
    Resync,
    SanitizationSummary,
    ThreadChanged,
    ThreadTitled,
    ToolExecuting,
    Typing,
    Welcome,
)
from transport.wire.unknown_event import UnknownEvent

Frame: TypeAlias = dict[str, Any]

WIRE_NAMES: Final[Mapping[type[Event], Mapping[str, str]]] = MappingProxyType(
    {AgentHandoff: MappingProxyType({"from_agent": "from", "to_agent": "to"})}
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
JWT_PREFIX: Final = "jwt."


class Dialect(enum.Enum):
    """The form of a connection's events."""

    CANONICAL = "canonical"
    FLAT = "flat"
    PAYLOAD = "payload"
    AGENT_RESPONSE = "agent_response"
    AGENT_EVENTS = "agent_events"


def _wire_fields(kind: type[Event]) -> tuple[tuple[str, str, bool], ...]:
    """Return for each field its attribute, its name on the wire, and whether it is omitted if None."""
    names = WIRE_NAMES.get(kind, {})
    return tuple((field.name, names.get(field.name, field.name), field.default is None) for field in attrs.fields(kind))


_WIRE_FIELDS: Final = {kind: _wire_fields(kind) for kind in EVENTS.values()}
# Events whose fields are all sent, under their own names: the encoder takes the objects directly.
_AS_THEY_ARE: Final = frozenset(
    kind
    for kind, fields in _WIRE_FIELDS.items()
    if all(name == shown and not optional for name, shown, optional in fields)
)


def event_data(event: Event) -> Frame:
    """Return the event's own fields under their wire names; optional ones that are None are omitted."""
    if isinstance(event, UnknownEvent):
        return dict(event.data)
    data: Frame = {}
    for attribute, name, optional in _WIRE_FIELDS[type(event)]:
        value = getattr(event, attribute)
        if value is not None or not optional:
            data[name] = value
    return data


def _data_struct(kind: type[Event]) -> Callable[[Any], msgspec.Struct]:
    """Return a function of an event of this kind: a Struct that encodes as `event_data`.

    It takes a third of the time: fields are read and omitted in C.
    """
    shown = _WIRE_FIELDS[kind]
    struct = msgspec.defstruct(
        kind.__name__,
        [(attribute, Any, None if optional else UNSET) for attribute, _, optional in shown],
        rename={attribute: name for attribute, name, _ in shown},
        omit_defaults=True,
        gc=False,
    )
    read = attrgetter(*(attribute for attribute, _, _ in shown))
    if len(shown) == 1:  # then `read` returns no tuple
        return lambda event: struct(read(event))
    return lambda event: struct(*read(event))


_LOGGED: Final = {kind: _data_struct(kind) for kind in _WIRE_FIELDS if kind not in _AS_THEY_ARE}
"""For each other type of event the function that returns what encodes as `event_data` does."""


class FrameHeader(msgspec.Struct, gc=False, omit_defaults=True):
    """The envelope's members in wire order. Those that are None are omitted, except `pillar`, which is null then.

    A Struct, as one is made for every event: it encodes in a fifth of the time of a dict.
    """

    type: str
    seq: int | None = None
    thread_id: str | None = None
    run_id: str | None = None
    message_id: str | None = None
    conversation_id: str | None = None
    agent_type: str | None = None
    pillar: str | UnsetType | None = UNSET
    asked_agent: AskedAgent | None = None
    priority: str | UnsetType = UNSET
    timestamp: str | float | UnsetType = UNSET
    message: str | UnsetType = UNSET


class CanonicalFrame(FrameHeader, gc=False):
    """The canonical form, which is the log's too."""

    data: Any = UNSET


class PayloadFrame(FrameHeader, gc=False):
    """The canonical form with the event's fields under another name, and more names among them."""

    payload: Any = UNSET


H = TypeVar("H", bound=FrameHeader)


def _build_frame(kind: Callable[..., H], envelope: Envelope, timestamp: str | float, data: Any) -> H:
    event = envelope.event
    return kind(
        event.type,
        envelope.seq,
        envelope.thread_id,
        envelope.run_id,
        envelope.message_id,
        envelope.conversation_id,
        envelope.agent_type,
        envelope.pillar,
        envelope.asked_agent,
        event.priority._value_,
        timestamp,
        envelope.message,
        data,
    )


def struct_members(struct: msgspec.Struct) -> Frame:
    """Return the members of a Struct that its encoding has, by their names there."""
    omitted = type(struct).__struct_config__.omit_defaults
    members = ((each, getattr(struct, each.name)) for each in msgspec.structs.fields(struct))
    return {
        each.encode_name: value
        for each, value in members
        if value is not UNSET and not (omitted and value is each.default)
    }


@lru_cache(maxsize=64)
def _second(whole: int) -> str:
    return datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S")


_THOUSANDTHS: Final = tuple(f".{number:03d}Z" for number in range(1000))


@lru_cache(maxsize=16)  # several events often have the same time
def iso(timestamp: float) -> str:
    """Format Unix seconds as ISO 8601 in UTC, to the nearest millisecond: `2026-11-20T06:00:00.123Z`."""
    whole, thousandths = divmod(round(timestamp * 1000), 1000)
    return _second(whole) + _THOUSANDTHS[thousandths]


def canonical(envelope: Envelope, timestamp: float | None = None) -> CanonicalFrame:
    """Return the whole envelope, with the event's fields under `data`. A given `timestamp` is not made text."""
    event = envelope.event
    kind = type(event)
    data = event if kind in _AS_THEY_ARE else _LOGGED.get(kind, event_data)(event)
    return _build_frame(CanonicalFrame, envelope, iso(envelope.timestamp) if timestamp is None else timestamp, data)


def payload(envelope: Envelope) -> PayloadFrame:
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
    return _build_frame(PayloadFrame, envelope, iso(envelope.timestamp), data)


def flat(envelope: Envelope) -> Frame:
    """Return the event's fields at the top level, over those of the envelope; `timestamp` is the envelope's.

    The `data` of a final response is called `details`, as a flat event has no member `data`. The `message` of an
    `agent_completed` is its result, if it has one.
    """
    head = _build_frame(CanonicalFrame, envelope, iso(envelope.timestamp), UNSET)
    frame: Frame = struct_members(head)
    data = event_data(envelope.event)
    for _, name, optional in _WIRE_FIELDS.get(type(envelope.event), ()):
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
    asked = envelope.asked_agent or speaker
    frame: Frame = {
        "agent_type": None if asked is None else asked.agent_type,
        "pillar": None if asked is None else asked.pillar,
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


RENDER: Final[Mapping[Dialect, Callable[[Envelope], FrameHeader | Frame | None]]] = MappingProxyType(
    {
        Dialect.CANONICAL: canonical,
        Dialect.FLAT: flat,
        Dialect.PAYLOAD: payload,
        Dialect.AGENT_RESPONSE: agent_response,
        Dialect.AGENT_EVENTS: agent_event,
    }
)

SUBPROTOCOLS: Final = MappingProxyType(
    {
        "understudy.v1": Dialect.CANONICAL,
        "understudy.flat": Dialect.FLAT,
        "understudy.payload": Dialect.PAYLOAD,
        "understudy.agent_events": Dialect.AGENT_EVENTS,
    }
)


@frozen
class Negotiated:
    """The result of a handshake: the dialect, and the subprotocol to select (None: none)."""

    dialect: Dialect
    subprotocol: str | None = None


ENDPOINTS: Final = MappingProxyType({"/ws": Dialect.CANONICAL, "/api/ws/agent": Dialect.AGENT_RESPONSE})
"""The paths at which a socket is served, and the dialect of each unless another is asked for."""


def negotiate(path: str, subprotocols: Sequence[str], query: Mapping[str, str]) -> Negotiated:
    """Negotiate the dialect from the path, the offered subprotocols in the client's order, and the query.

    A dialect offered as a subprotocol is selected and decides. Otherwise an offered `jwt.…` is selected (browsers
    drop a connection that selects nothing they offered), and `?dialect=` or else the path decides; an unknown dialect
    counts as not given. Raises UnknownEndpoint if no socket is served at the path.
    """
    default = ENDPOINTS.get(path.rstrip("/"))
    if default is None:
        raise UnknownEndpoint(path)
    for offered in subprotocols:
        if offered in SUBPROTOCOLS:
            return Negotiated(SUBPROTOCOLS[offered], offered)
    selected = next((offered for offered in subprotocols if offered.startswith(JWT_PREFIX)), None)
    asked = query.get("dialect")
    dialect = next((known for known in Dialect if known.value == asked), default)
    return Negotiated(dialect, selected)


def endpoint_name(path: str) -> str:
    """Return the endpoint's name for logs, without text of the client; `(unknown)` if there is none at the path."""
    name = path.rstrip("/")
    return name if name in ENDPOINTS else "(unknown)"
