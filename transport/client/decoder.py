"""Decode canonical frames into events. Pure; tolerates servers that are older or newer than this client.

An event of an unknown type, or with invalid data, becomes an `UnknownEvent`, which keeps its `seq` and all its data.
Unknown fields are available in `Received.raw`.
"""

import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

import attrs
import msgspec

from transport.wire.commands import Chunk
from transport.wire.dialects import wire_fields
from transport.wire.errors import UnreadableEvent
from transport.wire.events import Envelope, Error, Event
from transport.wire.unknown_event import UnknownEvent

JsonObject: TypeAlias = Mapping[str, Any]
Events: TypeAlias = Mapping[str, type[Event]]
"""The classes of events by their type."""

MAX_FRAME_BYTES: Final = 16 * 1024 * 1024
"""Largest frame in bytes, after inflating. A larger one ends the connection."""
_GZIP: Final = 16 + zlib.MAX_WBITS  # zlib's code for a gzip header and the largest window
_NAMES: Final = ("thread_id", "run_id", "message_id")


class Received(Envelope, frozen=True, eq=False):
    """A received event in its envelope. `raw` is the whole frame, including fields that are not of this package.

    `timestamp` is 0.0 if the frame has none. `terminal`: the event ends a run. `repeated`: the error refused a command
    that this client sends again.
    """

    raw: JsonObject = msgspec.field(default_factory=dict)
    terminal: bool = False
    repeated: bool = False

    @property
    def type(self) -> str:
        """The type on the wire, also of an `UnknownEvent`."""
        return self.event.type

    @property
    def refusal(self) -> bool:
        """Whether the event refuses a command for good: an error without a run."""
        return self.type == "error" and self.run_id is None and not self.repeated


def read_frame(frame: str | bytes, events: Events) -> list[Received | Chunk]:
    """Decode a frame into events and chunks: text is JSON, bytes are gzipped JSON; an array holds several.

    Raises UnreadableEvent if the frame is not JSON, holds no event, or exceeds MAX_FRAME_BYTES.
    """
    body = _inflated(frame) if isinstance(frame, bytes) else frame
    try:
        value = msgspec.json.decode(body)
    except (ValueError, RecursionError) as error:  # msgspec's errors and those of decoding UTF-8 are ValueErrors
        raise UnreadableEvent("a frame is not JSON") from error
    return [_chunk(item) if _is_chunk(item) else read_event(item, events) for item in _listed(value)]


def refusal(code: str, text: str, message_id: str | None, thread_id: str | None = None) -> Received:
    """Build a refusal such as a server sends, for a command that is not sent to it."""
    error = Error(code, text, retryable=False, error_id="")
    return Received(error, 0.0, thread_id=thread_id, message_id=message_id, message=text)


def read_event(frame: object, events: Events) -> Received:
    """Return the event of a decoded canonical frame.

    Raises UnreadableEvent if it has no `type`, or a `seq` or id of the wrong type in the envelope.
    """
    if not isinstance(frame, dict) or not isinstance(frame.get("type"), str):
        raise UnreadableEvent("a frame is not an event")
    seq = frame.get("seq")
    if seq is not None and (not isinstance(seq, int) or isinstance(seq, bool) or seq < 1):
        raise UnreadableEvent("an event's seq is not a number")
    names: dict[str, Any] = {name: frame.get(name) for name in _NAMES}
    if not all(name is None or isinstance(name, str) for name in names.values()):
        raise UnreadableEvent("a name in an event's envelope is not text")
    message, kind = frame.get("message"), events.get(frame["type"])
    return Received(
        _event(frame["type"], kind, frame.get("data")), _seconds(frame.get("timestamp")), seq, **names,
        message=message if isinstance(message, str) else "", raw=frame,
        terminal=kind is not None and kind.terminal and (kind is not Error or names["run_id"] is not None),
    )  # fmt: skip


def _event(kind: str, event_class: type[Event] | None, data: object) -> Event:
    fields = data if isinstance(data, dict) else {}
    if event_class is None:
        return UnknownEvent(kind, fields)
    renamed = {name: attribute for attribute, name, _ in wire_fields(event_class) if attribute != name}
    try:
        members = {renamed.get(name, name): value for name, value in fields.items()} if renamed else fields
        return attrs.evolve(msgspec.convert(members, event_class))  # evolve runs attrs' converters, which msgspec skips
    except (ValueError, RecursionError):
        return UnknownEvent(kind, fields)


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
