"""Dialects: the forms in which events are shown, of which the canonical one is here; and their negotiation. Pure."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from operator import attrgetter
from time import gmtime, strftime
from types import MappingProxyType
from typing import Any, Final, Generic, Protocol, TypeAlias, TypeVar

import attrs
import msgspec
from attrs import frozen
from msgspec import UNSET

from transport.wire.errors import UnknownEndpoint
from transport.wire.events import Envelope, Event, wire_name
from transport.wire.unknown_event import UnknownEvent

Frame: TypeAlias = dict[str, Any]
Render: TypeAlias = Callable[[Any], Any]
"""Returns the value to encode as the frame of an envelope; None if the dialect does not show its event."""
JWT_PREFIX: Final = "jwt."


class Dialect(Protocol):
    """The form of a connection's events: `value` is its name; the result of `render` is encoded as JSON."""

    @property
    def value(self) -> Any:
        """The name, as a client asks for it."""

    @property
    def render(self) -> Render:
        """The function that makes frames."""

    @property
    def shows_text(self) -> bool:
        """Whether pieces of streamed text are shown."""


_WIRE_FIELDS: Final[dict[type[Event], Sequence[tuple[str, str, bool]]]] = {}


def wire_fields(kind: type[Event]) -> Sequence[tuple[str, str, bool]]:
    """Return for each field its attribute, its name on the wire, and whether it is omitted if None."""
    fields = _WIRE_FIELDS.get(kind)
    if fields is None:
        fields = [(field.name, wire_name(field), field.default is None) for field in attrs.fields(kind)]
        _WIRE_FIELDS[kind] = fields
    return fields


def event_data(event: Event) -> Frame:
    """Return the event's own fields under their wire names; optional ones that are None are omitted."""
    if isinstance(event, UnknownEvent):
        return dict(event.data)
    data: Frame = {}
    for attribute, name, optional in wire_fields(type(event)):
        value = getattr(event, attribute)
        if value is not None or not optional:
            data[name] = value
    return data


class _DataOf(dict[type[Event], tuple[Callable[..., Any], Callable[[Any], Any]] | None]):
    """For each type of event a Struct that encodes as `event_data` does, and the function that reads its fields.

    None if the event itself encodes so. A Struct takes a third of the time: fields are read and omitted in C.
    """

    def __missing__(self, kind: type[Event]) -> tuple[Callable[..., Any], Callable[[Any], Any]] | None:
        shown = [] if kind is UnknownEvent else wire_fields(kind)
        attributes = [attribute for attribute, _, _ in shown]
        if kind is UnknownEvent:
            encoding: tuple[Callable[..., Any], Callable[[Any], Any]] | None = dict, lambda event: (event.data,)
        elif all(name == attribute and not optional for attribute, name, optional in shown):
            encoding = None
        else:
            struct = msgspec.defstruct(
                kind.__name__,
                [(attribute, Any, None if optional else UNSET) for attribute, _, optional in shown],
                rename={attribute: name for attribute, name, _ in shown},
                omit_defaults=True,
                gc=False,
            )
            read = attrgetter(*attributes)
            encoding = struct, read if len(shown) > 1 else lambda event: (read(event),)
        self[kind] = encoding
        return encoding


_DATA_OF: Final = _DataOf()
_HEAD: Final = ("seq", "thread_id", "run_id", "message_id")


def names_of(kind: type[Envelope]) -> tuple[str, ...]:
    """Return the names that a program adds to the envelope."""
    return kind.__struct_fields__[len(Envelope.__struct_fields__) :]


@lru_cache(maxsize=64)
def frame_type(kind: type[Envelope], member: str) -> tuple[Callable[..., msgspec.Struct], Callable[[Envelope], Any]]:
    """Return the Struct of the frames of a class of envelopes, and the function that reads the names it begins with.

    The Struct is made of the event's type, these names, and the priority, the time, the line and the event's fields,
    which are called `member`. Names that are None are omitted, except those of `nulls`. A Struct, as one is made for
    every event: it encodes in a fifth of the time of a dict.
    """
    names = (*_HEAD, *names_of(kind))
    rows: list[tuple[str, Any, Any]] = [("type", str, UNSET)]
    rows += [(name, Any, UNSET if name in kind.nulls else None) for name in names]
    rows += [(name, Any, UNSET) for name in ("priority", "timestamp", "message", member)]
    return msgspec.defstruct("Frame", rows, omit_defaults=True, gc=False), attrgetter(*names)


def struct_members(struct: msgspec.Struct) -> Frame:
    """Return the members of a Struct that its encoding has, by their names there."""
    omitted = type(struct).__struct_config__.omit_defaults
    members = ((field, getattr(struct, field.name)) for field in msgspec.structs.fields(struct))
    return {
        member.encode_name: value
        for member, value in members
        if value is not UNSET and not (omitted and value is member.default)
    }


_THOUSANDTHS: Final = tuple(f".{number:03d}Z" for number in range(1000))


@lru_cache(maxsize=16)  # several events often have the same time
def iso(timestamp: float) -> str:
    """Format Unix seconds as ISO 8601 in UTC, to the nearest millisecond: `2026-11-20T06:00:00.123Z`."""
    whole, thousandths = divmod(round(timestamp * 1000), 1000)
    return strftime("%Y-%m-%dT%H:%M:%S", gmtime(whole)) + _THOUSANDTHS[thousandths]


def canonical(envelope: Envelope) -> msgspec.Struct:
    """Return the whole envelope, with the event's fields under `data`."""
    event = envelope.event
    data_of = _DATA_OF[type(event)]
    return build_frame(envelope, "data", event if data_of is None else data_of[0](*data_of[1](event)))


def build_frame(envelope: Envelope, member: str, data: Any) -> msgspec.Struct:
    """Return the frame of an envelope with the event's fields, as `data`, under `member`."""
    frame, read = frame_type(type(envelope), member)
    event, timestamp = envelope.event, iso(envelope.timestamp)
    return frame(event.type, *read(envelope), event.priority._value_, timestamp, envelope.message, data)


@frozen
class Canonical:
    """The canonical dialect, for a program that has no other."""

    value: str = "canonical"
    render: Render = canonical
    shows_text: bool = True


CANONICAL: Final = Canonical()
D = TypeVar("D", bound=Dialect)


@frozen
class Negotiated(Generic[D]):
    """The result of a handshake: the dialect, and the subprotocol to select (None: none)."""

    dialect: D
    subprotocol: str | None = None


@frozen
class Endpoints(Generic[D]):
    """The paths at which sockets are served, with the dialect of each unless another is asked for; the subprotocols
    that select a dialect; and all dialects."""

    paths: Mapping[str, D]
    subprotocols: Mapping[str, D] = MappingProxyType({})
    dialects: Sequence[D] = ()

    def negotiate(self, path: str, subprotocols: Sequence[str], query: Mapping[str, str]) -> Negotiated[D]:
        """Negotiate the dialect from the path, the offered subprotocols in the client's order, and the query.

        A dialect offered as a subprotocol is selected and decides. Otherwise an offered `jwt.…` is selected (browsers
        drop a connection that selects nothing they offered), and `?dialect=` or else the path decides; an unknown
        dialect counts as not given. Raises UnknownEndpoint if no socket is served at the path.
        """
        default = self.paths.get(path.rstrip("/"))
        if default is None:
            raise UnknownEndpoint(path)
        for offered in subprotocols:
            if offered in self.subprotocols:
                return Negotiated(self.subprotocols[offered], offered)
        selected = next((offered for offered in subprotocols if offered.startswith(JWT_PREFIX)), None)
        name = query.get("dialect")
        return Negotiated(next((dialect for dialect in self.dialects if dialect.value == name), default), selected)

    def name(self, path: str) -> str:
        """Return the endpoint's name for logs, without text of the client; `(unknown)` if there is none at the path."""
        name = path.rstrip("/")
        return name if name in self.paths else "(unknown)"
