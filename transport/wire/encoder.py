"""Encode events into frames: one function for each dialect, with and without HTML."""

from collections.abc import Callable
from typing import TypeAlias

from transport.wire.codec import make_encoder
from transport.wire.dialects import Dialect, Html
from transport.wire.events import Envelope

Encode: TypeAlias = Callable[[Envelope], bytes | None]
WrapFrame: TypeAlias = Callable[[Envelope, bytes], bytes]


class Encoder:
    """`codec.encode` for each dialect, with rendered answers and without; shared by all connections.

    `html` renders answers for connections that asked for it.
    """

    def __init__(self, html: Html | None = None) -> None:
        self._encoders: dict[tuple[Dialect, bool], Encode] = {
            (dialect, rendered): make_encoder(dialect, html if rendered else None)
            for dialect in Dialect
            for rendered in (False, True)
        }

    def encoder_for(self, dialect: Dialect, *, html: bool = False) -> Encode:
        """Return the encoding function of a dialect: always the same object, which keys `Deliver`'s cache of frames."""
        return self._encoders[dialect, html]


def wrapping_encoder(encode: Encode, wrap_frame: WrapFrame | None) -> Encode:
    """Encode an event, and give what `wrap_frame` makes of it and its frame; `encode` itself without one."""
    if wrap_frame is None:
        return encode

    def encode_and_wrap(envelope: Envelope) -> bytes | None:
        frame = encode(envelope)
        return None if frame is None else wrap_frame(envelope, frame)

    return encode_and_wrap
