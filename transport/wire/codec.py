"""Encode events as frames, and as records of the log, which are decoded again. Pure."""

import enum
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import cattrs
import msgspec
from cattrs.gen import make_dict_structure_fn, override

from transport.wire.dialects import RENDER, WIRE_NAMES, Dialect, canonical, struct_members
from transport.wire.errors import UnreadableEvent
from transport.wire.events import EVENTS, AskedAgent, Envelope, Event, Usage
from transport.wire.unknown_event import UnknownEvent

WrapFrame: TypeAlias = Callable[[Envelope, bytes], bytes]


def encode(envelope: Envelope, dialect: Dialect) -> bytes | None:
    """Encode an event as a frame of a dialect. Return None if the dialect does not show it.

    Raises TypeError for values that JSON lacks.
    """
    return EventEncoder(dialect)(envelope)


class EventEncoder:
    """Encodes events as frames of one dialect, as `encode` does. `wrap_frame` converts each into the bytes to send."""

    __slots__ = ("_render", "_wrap_frame")

    def __init__(self, dialect: Dialect, wrap_frame: WrapFrame | None = None) -> None:
        self._render = RENDER[dialect]
        self._wrap_frame = wrap_frame

    def __call__(self, envelope: Envelope) -> bytes | None:
        """Encode an event. Return None if the dialect does not show it."""
        shown = self._render(envelope)
        if shown is None:
            return None
        try:
            frame = _ENCODER.encode(shown)
        except UnicodeEncodeError:
            frame = _ENCODER.encode(replace_surrogates(shown))
        return frame if self._wrap_frame is None else self._wrap_frame(envelope, frame)

    def encode_all(self, envelopes: Sequence[Envelope]) -> list[bytes | None]:
        """Encode events as one after the other, but in one call of msgspec, which takes two thirds of its time."""
        if len(envelopes) == 1:
            return [self(envelopes[0])]
        render, wrap_frame = self._render, self._wrap_frame
        try:
            lines = _ENCODER.encode_lines([render(envelope) for envelope in envelopes]).split(b"\n")
        except UnicodeEncodeError:
            return [self(envelope) for envelope in envelopes]
        lines.pop()  # what follows the last line
        if wrap_frame is None and b"null" not in lines:
            return lines  # type: ignore[return-value]  # a list of bytes is one of bytes and None
        frames = zip(envelopes, lines, strict=True)
        return [
            None if line == b"null" else line if wrap_frame is None else wrap_frame(envelope, line)
            for envelope, line in frames
        ]


class Encoder:
    """An `EventEncoder` for each dialect, shared by all connections."""

    def __init__(self) -> None:
        self._encoders: dict[tuple[Dialect, WrapFrame | None], EventEncoder] = {}

    def encoder_for(self, dialect: Dialect, wrap_frame: WrapFrame | None = None) -> EventEncoder:
        """Return the encoder of a dialect: always the same object, which keys `Deliver`'s cache of frames.

        It is kept, so `wrap_frame` is one of few functions, and none made for a connection.
        """
        key = dialect, wrap_frame
        encoder = self._encoders.get(key)
        if encoder is None:
            encoder = self._encoders[key] = EventEncoder(dialect, wrap_frame)
        return encoder


def to_log(envelope: Envelope) -> bytes:
    """Encode an envelope for the log: the canonical form, but with the exact `timestamp` in Unix seconds.

    `from_log` returns an equal envelope. Raises TypeError for values that JSON lacks.
    """
    frame = canonical(envelope, envelope.timestamp)
    try:
        return _ENCODER.encode(frame)
    except UnicodeEncodeError:
        return _ENCODER.encode(replace_surrogates(frame))


def from_log(body: bytes) -> Envelope:
    """Decode an envelope that `to_log` encoded. An event of a type that a later release has is an `UnknownEvent`.

    Raises UnreadableEvent if it is damaged.
    """
    try:
        frame = _FRAMES.decode(body)
        read = _EVENT_OF.get(frame.type)
        return Envelope(
            UnknownEvent(frame.type, frame.data) if read is None else read(frame.data),
            frame.timestamp,
            frame.seq,
            frame.thread_id,
            frame.run_id,
            frame.message_id,
            frame.conversation_id,
            frame.agent_type,
            frame.pillar,
            frame.message,
            frame.asked_agent,
        )
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise UnreadableEvent(f"a stored event cannot be read: {type(error).__name__}") from error


def plain(value: object) -> Any:
    """Return a value of an event as JSON data. Raises TypeError or ValueError for one that JSON lacks."""
    return msgspec.to_builtins(value, enc_hook=dict)


def json_text(value: object) -> str:
    """Return a value as JSON text. Raises as `plain`."""
    return msgspec.json.encode(value, enc_hook=dict).decode()


def _encode_mapping(value: Any) -> Any:
    """Convert read-only mappings, which events may hold and msgspec does not encode."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"an event cannot hold a {type(value).__name__}")


_ENCODER: Final = msgspec.json.Encoder(enc_hook=_encode_mapping)


def replace_surrogates(value: Any) -> Any:
    """Replace lone surrogates, which have no UTF-8: a model or tool may produce them by cutting text."""
    if isinstance(value, enum.Enum) or (isinstance(value, str) and value.isascii()):
        return value
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, Mapping):
        return {replace_surrogates(name): replace_surrogates(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [replace_surrogates(member) for member in value]
    if isinstance(value, msgspec.Struct):
        return replace_surrogates(struct_members(value))
    if hasattr(type(value), "__attrs_attrs__"):
        fields = {field.name: getattr(value, field.name) for field in type(value).__attrs_attrs__}
        return replace_surrogates({name: member for name, member in fields.items() if member is not msgspec.UNSET})
    return value


class _LoggedFrame(msgspec.Struct, gc=False):
    """The record that `to_log` writes."""

    type: str
    timestamp: int | float
    message: str
    data: dict[str, Any]
    seq: int | None = None
    thread_id: str | None = None
    run_id: str | None = None
    message_id: str | None = None
    conversation_id: str | None = None
    agent_type: str | None = None
    pillar: str | None = None
    asked_agent: AskedAgent | None = None


def _event_readers() -> dict[str, Callable[[dict[str, Any]], Event]]:
    """Return, for each event type, the function that converts the `data` of a record into an event."""
    converter = cattrs.Converter(detailed_validation=False)
    # The log holds values as they were sent: 5 stays 5. Compared by identity, as the enums are subclasses of str.
    converter.register_structure_hook_func(lambda kind: kind in (str, int, float), lambda value, _: value)
    converter.register_structure_hook(Usage, lambda value, _: msgspec.convert(value, Usage))
    readers: dict[str, Callable[[dict[str, Any]], Event]] = {}
    for kind in EVENTS.values():
        names = {attribute: override(rename=name) for attribute, name in WIRE_NAMES.get(kind, {}).items()}
        readers[kind.type] = make_dict_structure_fn(kind, converter, **names)  # type: ignore[arg-type]
    return readers


_EVENT_OF: Final = _event_readers()
_FRAMES: Final = msgspec.json.Decoder(_LoggedFrame)
