"""How an event looks to each kind of client: one function a dialect, from envelope to JSON-ready dict.

And the choice, at the handshake, of the dialect that a connection speaks.
"""

import enum
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, TypeAlias
from urllib.parse import unquote

import attrs
from attrs import frozen

from transport.errors import UnknownEndpoint
from transport.events import EVENTS, AgentHandoff, Envelope, Error, Event, FinalResponse, PartialResult

Html: TypeAlias = Callable[[str], str]
Frame: TypeAlias = dict[str, Any]

WIRE_NAMES: Final[Mapping[type[Event], Mapping[str, str]]] = MappingProxyType(
    {AgentHandoff: MappingProxyType({"from_agent": "from", "to_agent": "to"})}
)
# An answer whose `data` has one of these members is a table or a computation, not only words.
ANALYSIS_MEMBERS: Final = frozenset({"analysis", "columns", "rows", "table", "tables"})
JWT_PREFIX: Final = "jwt."


class Dialect(enum.Enum):
    """What a connection's events look like."""

    CANONICAL = "canonical"
    FLAT = "flat"
    PAYLOAD = "payload"
    AGENT_RESPONSE = "agent_response"


def _wire_fields(kind: type[Event]) -> tuple[tuple[str, str, bool], ...]:
    """For each field: attribute, name on the wire, and whether it is left out while it is None."""
    names = WIRE_NAMES.get(kind, {})
    return tuple((field.name, names.get(field.name, field.name), field.default is None) for field in attrs.fields(kind))


_WIRE_FIELDS: Final = {kind: _wire_fields(kind) for kind in EVENTS.values()}


def data_of(event: Event) -> Frame:
    """The event's own fields, as every dialect names them; optional ones that are None are left out."""
    data: Frame = {}
    for attribute, name, optional in _WIRE_FIELDS[type(event)]:
        value = getattr(event, attribute)
        if value is not None or not optional:
            data[name] = value
    return data


def shown_data(event: Event, html: Html | None) -> Frame:
    """The event's fields for one kind of connection: with rendered answers and blocks (`html` given) or without."""
    data = data_of(event)
    match event:
        case FinalResponse(message=message) if html is not None:
            data["html"] = html(message)
        case PartialResult() if html is None:
            del data["blocks"]
    return data


def head_of(envelope: Envelope, timestamp: str | float) -> Frame:
    """Everything around the event, in the order of the wire. Absent fields are left out; only `pillar` is null."""
    event = envelope.event
    head: Frame = {"type": event.type}
    if envelope.seq is not None:
        head["seq"] = envelope.seq
    if envelope.thread_id is not None:
        head["thread_id"] = envelope.thread_id
    if envelope.run_id is not None:
        head["run_id"] = envelope.run_id
    if envelope.message_id is not None:
        head["message_id"] = envelope.message_id
    if envelope.conversation_id is not None:
        head["conversation_id"] = envelope.conversation_id
    if envelope.agent_type is not None:
        head["agent_type"] = envelope.agent_type
    head["pillar"] = envelope.pillar
    head["priority"] = event.priority.value
    head["timestamp"] = timestamp
    head["message"] = envelope.message
    return head


@lru_cache(maxsize=64)
def _second(whole: int) -> str:
    return datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def iso(timestamp: float) -> str:
    """Unix seconds as ISO 8601 in UTC, to the nearest millisecond: `2026-11-20T06:00:00.123Z`."""
    whole, thousandths = divmod(round(timestamp * 1000), 1000)
    return f"{_second(whole)}.{thousandths:03d}Z"


def canonical(envelope: Envelope, html: Html | None = None) -> Frame:
    """The whole envelope, the event's fields under `data`."""
    frame = head_of(envelope, iso(envelope.timestamp))
    frame["data"] = shown_data(envelope.event, html)
    return frame


def payload(envelope: Envelope, html: Html | None = None) -> Frame:
    """As canonical, the event's fields under `payload`."""
    frame = head_of(envelope, iso(envelope.timestamp))
    frame["payload"] = shown_data(envelope.event, html)
    return frame


def flat(envelope: Envelope, html: Html | None = None) -> Frame:
    """The event's fields at the top level, over those of the envelope; `timestamp` stays the envelope's.

    The `data` of a final response is called `details` here: a flat event has no member `data`.
    """
    frame = head_of(envelope, iso(envelope.timestamp))
    for name, value in shown_data(envelope.event, html).items():
        if name == "data":
            frame["details"] = value
        elif name != "timestamp":
            frame[name] = value
    return frame


def agent_response(envelope: Envelope, html: Html | None = None) -> Frame | None:  # noqa: ARG001 - one shape for all
    """One object an answer, always with the same seven members; None for all that is neither answer nor error."""
    frame: Frame = {
        "agent_type": envelope.agent_type,
        "pillar": envelope.pillar,
        "message": "",
        "conversation_id": envelope.conversation_id,
        "type": "message",
        "data": None,
        "visualization": None,
    }
    match envelope.event:
        case FinalResponse() as answer:
            kind = _kind_of_answer(answer)
            frame |= {"message": answer.message, "type": kind, "data": answer.data}
            frame["visualization"] = answer.visualization
        case Error() as error:
            data = data_of(error)
            frame |= {"message": data.pop("message"), "type": "error", "data": data}
        case _:
            return None
    return frame


def _kind_of_answer(answer: FinalResponse) -> str:
    if answer.visualization is not None:
        return "visualization"
    if answer.data is not None and not ANALYSIS_MEMBERS.isdisjoint(answer.data):
        return "analysis"
    return "message"


RENDER: Final[Mapping[Dialect, Callable[[Envelope, Html | None], Frame | None]]] = MappingProxyType(
    {
        Dialect.CANONICAL: canonical,
        Dialect.FLAT: flat,
        Dialect.PAYLOAD: payload,
        Dialect.AGENT_RESPONSE: agent_response,
    }
)

SUBPROTOCOLS: Final = MappingProxyType(
    {
        "understudy.v1": Dialect.CANONICAL,
        "understudy.flat": Dialect.FLAT,
        "understudy.payload": Dialect.PAYLOAD,
    }
)


@frozen
class Choice:
    """What a handshake settles: the dialect, the subprotocol to select (None: select none), and the path's agent.

    `default_agent` is (agent_type, pillar) where the path fixes the agent; such endpoints are `deprecated`.
    """

    dialect: Dialect
    subprotocol: str | None = None
    default_agent: tuple[str, str | None] | None = None
    deprecated: bool = False


def choose(path: str, subprotocols: Sequence[str], query: Mapping[str, str]) -> Choice:
    """Settle a handshake from its path, the offered subprotocols in the client's order, and its query.

    A dialect offered as a subprotocol is selected and decides. Otherwise an offered `jwt.…` is selected (browsers
    drop a connection that selects nothing they offered), and `?dialect=` or else the path decides; a dialect of an
    unknown name is as none. Raises UnknownEndpoint where no socket is served.
    """
    default, agent = _endpoint(path)
    for offered in subprotocols:
        if offered in SUBPROTOCOLS:
            return Choice(SUBPROTOCOLS[offered], offered, agent, agent is not None)
    selected = next((offered for offered in subprotocols if offered.startswith(JWT_PREFIX)), None)
    asked = query.get("dialect")
    dialect = next((known for known in Dialect if known.value == asked), default)
    return Choice(dialect, selected, agent, agent is not None)


def _endpoint(path: str) -> tuple[Dialect, tuple[str, str | None] | None]:
    match path.rstrip("/").split("/"):
        case ["", "ws"]:
            return Dialect.CANONICAL, None
        case ["", "api", "ws", "agent"]:
            return Dialect.AGENT_RESPONSE, None
        case ["", "api", "ws", "guide"]:
            return Dialect.AGENT_RESPONSE, ("guide", None)
        case ["", "api", "ws", "liaison", pillar] if pillar:
            return Dialect.AGENT_RESPONSE, ("liaison", unquote(pillar))
    raise UnknownEndpoint(path)
