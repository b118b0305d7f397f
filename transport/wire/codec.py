"""Encode events as frames of a dialect. Pure."""

import enum
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from transport.wire.dialects import CANONICAL, Dialect, canonical, struct_members
from transport.wire.events import Envelope

WrapFrame: TypeAlias = Callable[[Envelope, bytes], bytes]


def encode(envelope: Envelope, dialect: Dialect) -> bytes | None:
    """Encode an event as a frame of a dialect. Return None if the dialect does not show it.

    Raises TypeError for values that JSON lacks.
    """
    return EventEncoder(dialect)(envelope)


class EventEncoder:
    """Encodes events as frames of one dialect, as `encode` does. `wrap_frame` converts each into the bytes to send.

    An event that was encoded for a log, or read from one, is not encoded as a canonical frame again.
    """

    __slots__ = ("_canonical", "_render", "_wrap_frame")

    def __init__(self, dialect: Dialect, wrap_frame: WrapFrame | None = None) -> None:
        self._render = dialect.render
        self._canonical = self._render is canonical
        self._wrap_frame = wrap_frame

    def __call__(self, envelope: Envelope) -> bytes | None:
        """Encode an event. Return None if the dialect does not show it."""
        frame = envelope.frame if self._canonical else b""
        if not frame:
            shown = self._render(envelope)
            if shown is None:
                return None
            try:
                frame = _ENCODER.encode(shown)
            except UnicodeEncodeError:
                frame = _ENCODER.encode(replace_surrogates(shown))
        return frame if self._wrap_frame is None else self._wrap_frame(envelope, frame)

    def encode_all(self, envelopes: Sequence[Envelope]) -> list[bytes | None]:
        """Encode several events by one call of msgspec, in two thirds of the time of a call for each."""
        if self._canonical or len(envelopes) == 1:
            return [self(envelope) for envelope in envelopes]
        render, wrap_frame = self._render, self._wrap_frame
        try:
            lines = _ENCODER.encode_lines([render(envelope) for envelope in envelopes]).split(b"\n")
        except UnicodeEncodeError:
            return [self(envelope) for envelope in envelopes]
        lines.pop()  # the empty text after the last line break
        if wrap_frame is None and b"null" not in lines:
            return lines  # type: ignore[return-value]  # a list of bytes is one of bytes and None
        frames = zip(envelopes, lines, strict=True)
        return [
            None if line == b"null" else line if wrap_frame is None else wrap_frame(envelope, line)
            for envelope, line in frames
        ]


def encode_for_log(envelope: Envelope) -> bytes:
    """Return the canonical frame of an event, which the envelope keeps. Raises TypeError for values that JSON lacks."""
    if not envelope.frame:
        msgspec.structs.force_setattr(envelope, "frame", _CANONICAL(envelope))
    return envelope.frame


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
_CANONICAL: Final = EventEncoder(CANONICAL)


def replace_surrogates(value: Any) -> Any:
    """Replace lone surrogates, which have no UTF-8: a model or tool may produce them by cutting text."""
    if ((kind := type(value)) is str and value.isascii()) or isinstance(value, int | float | enum.Enum):
        return value
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if kind is dict or isinstance(value, Mapping):  # nearly all are: the abstract class takes ten times as long
        return {replace_surrogates(name): replace_surrogates(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [replace_surrogates(member) for member in value]
    if isinstance(value, msgspec.Struct):
        return replace_surrogates(struct_members(value))
    if hasattr(kind, "__attrs_attrs__"):
        fields = {field.name: getattr(value, field.name) for field in kind.__attrs_attrs__}
        return replace_surrogates({name: member for name, member in fields.items() if member is not msgspec.UNSET})
    return value
