"""The messages to a connection and its outbox."""

from collections.abc import Sequence
from contextvars import ContextVar
from typing import Final

from attrs import frozen

from transport.wire.codec import EventEncoder
from transport.wire.events import Envelope

arrived_at: Final[ContextVar[float | None]] = ContextVar("transport.arrived_at", default=None)
"""Unix seconds at which the server received the command that the task is handling; None if no client sent one.

Set for each frame and request. It follows the task through this process, and is neither sent nor logged.
"""
traceparent: Final[ContextVar[str | None]] = ContextVar("transport.traceparent", default=None)
"""The header `traceparent` (W3C Trace Context) of the HTTP request that the task is handling, unchecked; None if none.

A command over a socket has it in its own `metadata`.
"""


class Deliver:
    """Deliver events of one thread, or of none, in order, as they happen.

    `shared`: the same object is sent to several outboxes, so it caches encoded frames. Each event is encoded once per
    encoder then, however many connections are subscribed.
    """

    __slots__ = ("_frames", "envelopes")

    def __init__(self, *envelopes: Envelope, shared: bool = False) -> None:
        self.envelopes = envelopes
        self._frames: dict[EventEncoder, list[bytes | None]] | None = {} if shared else None

    def __repr__(self) -> str:
        return f"Deliver({', '.join(map(repr, self.envelopes))})"

    def frames(self, encode: EventEncoder) -> Sequence[bytes | None]:
        """Encode each event; None for events that `encode` does not show. Propagates errors of `encode`."""
        if self._frames is None:
            return encode.encode_all(self.envelopes)
        frames = self._frames.get(encode)
        if frames is None:
            frames = self._frames[encode] = encode.encode_all(self.envelopes)
        return frames


@frozen
class Reply:
    """Send an event to this client only, whatever its `seq`: the answer to a repeated command.

    `last_seq`: the last known seq in the thread's log. If given, the client must also get all events after this one: a
    connection that was subscribed later, without a cursor from its client, moves back and reads the log from here.
    `resend`: send the event also if the client was sent it before.
    """

    envelope: Envelope
    last_seq: int | None = None
    resend: bool = True


@frozen
class SubscribeThread:
    """Subscribe to a thread's events after `after`; `last_seq` is the last known seq in its log.

    `after` None subscribes at the end. A subscribed thread moves to `after`, back or forward: the client named its
    cursor. `implicit`: the client has not named a cursor on this connection. Then a subscribed thread does not move,
    and a young connection waits for the client's cursor first (`OutboxLimits.defer_s`).

    `incarnation` tells threads of the same id apart: when the thread was created (Unix seconds), None if that is not
    known. A connection that was subscribed to an earlier thread of the id, or was sent `UnsubscribeThread`, gets this
    one from its first event, unless its client named a cursor.
    """

    thread_id: str
    after: int | None
    last_seq: int
    implicit: bool = False
    incarnation: float | None = None


@frozen
class UnsubscribeThread:
    """Unsubscribe from a thread that does not exist any more; a later thread of the same id is another one.

    `incarnation` is that of the thread, as in `SubscribeThread`: a subscription to a later one is kept.
    """

    thread_id: str
    incarnation: float | None = None


@frozen
class Acked:
    """The client has acknowledged a thread's events up to `seq`."""

    thread_id: str
    seq: int


@frozen
class CloseWhenDrained:
    """Send queued events for at most `within_s` seconds, then close."""

    code: int
    reason: str = ""
    within_s: float = 2.0


@frozen
class Close:
    """Close the socket once queued events have been sent. `reason` None: the code's own."""

    code: int
    reason: str | None = None
