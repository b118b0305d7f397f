"""What a client hears: canonical frames back to the vocabulary. Pure; made for servers older and newer than this.

A type that is not known here, or data that is not what the type promises, is an `Unknown` event: it keeps its place
and everything it holds. Fields that are not known are left to `Received.raw`.
"""

import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, ClassVar, Final, TypeAlias

import attrs
import msgspec
from attrs import field, frozen

from transport.wire.commands import Chunk
from transport.wire.dialects import WIRE_NAMES
from transport.wire.errors import UnreadableEvent
from transport.wire.events import EVENTS, Envelope, Event

JsonObject: TypeAlias = Mapping[str, Any]

MAX_FRAME_BYTES: Final = 16 * 1024 * 1024
"""The largest frame that is read, after it was inflated."""
_GZIP: Final = 16 + zlib.MAX_WBITS
_NAMES: Final = ("thread_id", "run_id", "message_id", "conversation_id", "agent_type", "pillar")
_ATTRIBUTES: Final[Mapping[type[Event], Mapping[str, str]]] = MappingProxyType(
    {kind: {wire: attribute for attribute, wire in names.items()} for kind, names in WIRE_NAMES.items()}
)


@frozen
class Unknown(Event):
    """An event that this version cannot read: `kind` is its type on the wire, `data` what came with it."""

    type: ClassVar[str] = "unknown"
    durable: ClassVar[bool] = False
    kind: str
    data: JsonObject = field(repr=False)


class Received(Envelope, frozen=True):
    """An event as it came, in its envelope. `raw` is the whole frame, with fields that the vocabulary does not have.

    `timestamp` is 0.0 where the frame has none. `repeated`: the error refused a command that this client sends again.
    """

    raw: JsonObject = msgspec.field(default_factory=dict)
    repeated: bool = False

    @property
    def type(self) -> str:
        """The type on the wire, also of an `Unknown` event."""
        return self.event.kind if isinstance(self.event, Unknown) else self.event.type

    @property
    def terminal(self) -> bool:
        """Whether a run ended with it: a final response, or an error that belongs to a run."""
        return self.type == "final_response" or (self.type == "error" and self.run_id is not None)

    @property
    def refusal(self) -> bool:
        """Whether it says that a command was not taken, for good: an error without a run."""
        return self.type == "error" and self.run_id is None and not self.repeated


def read_frame(frame: str | bytes) -> list[Received | Chunk]:
    """The events and parts of larger frames in a frame: text is JSON, bytes are gzip of it; an array is several.

    Raises UnreadableEvent: it is no JSON, no event, or over MAX_FRAME_BYTES.
    """
    body = _inflated(frame) if isinstance(frame, bytes) else frame
    try:
        value = msgspec.json.decode(body)
    except (ValueError, RecursionError) as error:  # msgspec's errors and those of decoding UTF-8 are ValueErrors
        raise UnreadableEvent("a frame is not JSON") from error
    return [_chunk(each) if _is_chunk(each) else read_event(each) for each in _listed(value)]


def read_event(frame: object) -> Received:
    """The event in a decoded canonical frame.

    Raises UnreadableEvent where there is no telling what it is or where it belongs: no `type`, or a `seq` or a name
    in the envelope of the wrong kind.
    """
    if not isinstance(frame, dict) or not isinstance(frame.get("type"), str):
        raise UnreadableEvent("a frame is not an event")
    seq = frame.get("seq")
    if seq is not None and (not isinstance(seq, int) or isinstance(seq, bool) or seq < 1):
        raise UnreadableEvent("an event's seq is not a number")
    names: dict[str, Any] = {name: frame.get(name) for name in _NAMES}
    if not all(name is None or isinstance(name, str) for name in names.values()):
        raise UnreadableEvent("a name in an event's envelope is not text")
    message = frame.get("message")
    return Received(
        _event(frame["type"], frame.get("data")), _seconds(frame.get("timestamp")), seq, **names,
        message=message if isinstance(message, str) else "", raw=frame,
    )  # fmt: skip


def _event(kind: str, data: object) -> Event:
    known = EVENTS.get(kind)
    fields = data if isinstance(data, dict) else {}
    if known is None:
        return Unknown(kind, fields)
    renamed = _ATTRIBUTES.get(known)
    try:
        given = {renamed.get(name, name): value for name, value in fields.items()} if renamed else fields
        return attrs.evolve(msgspec.convert(given, known))  # made once more, as msgspec leaves out attrs' converters
    except (ValueError, RecursionError):
        return Unknown(kind, fields)


def _seconds(timestamp: object) -> float:
    if not isinstance(timestamp, str):
        return 0.0
    try:
        when = datetime.fromisoformat(timestamp)
    except ValueError:
        return 0.0
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def _inflated(frame: bytes) -> bytes:
    inflate = zlib.decompressobj(_GZIP)
    try:
        body = inflate.decompress(frame, MAX_FRAME_BYTES)
    except zlib.error:
        raise UnreadableEvent("a binary frame is not gzip") from None
    if not inflate.eof:
        raise UnreadableEvent("a binary frame is too large or was cut off")
    return body


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _is_chunk(value: object) -> bool:
    return isinstance(value, dict) and value.get("type") == "chunk"


def _chunk(value: object) -> Chunk:
    try:
        return msgspec.convert(value, Chunk)
    except ValueError:
        raise UnreadableEvent("a part of a frame is not one") from None
