"""What a connection and its outbox are told."""

from collections.abc import Sequence
from contextvars import ContextVar
from typing import Final

from attrs import frozen

from transport.wire.encoder import Encode
from transport.wire.events import Envelope

arrived_at: Final[ContextVar[float | None]] = ContextVar("transport.arrived_at", default=None)
"""Unix seconds at which the server received the command that the task is handling; None if no client sent one.

Set for each frame and request. It follows the task through this process, and is neither sent nor logged.
"""


class Deliver:
    """Events of one thread, or of none, in order, as they happen.

    `shared`: the same object goes to several outboxes, so what an event looks like is remembered in it. An event is
    encoded once then for each way to show it, however many follow.
    """

    __slots__ = ("_frames", "envelopes")

    def __init__(self, *envelopes: Envelope, shared: bool = False) -> None:
        self.envelopes = envelopes
        self._frames: dict[Encode, list[bytes | None]] | None = {} if shared else None

    def __repr__(self) -> str:
        return f"Deliver({', '.join(map(repr, self.envelopes))})"

    def frames(self, encode: Encode) -> Sequence[bytes | None]:
        """What `encode` makes of each event, None where it shows nothing; raises what that raises."""
        if self._frames is None:
            return [encode(envelope) for envelope in self.envelopes]
        frames = self._frames.get(encode)
        if frames is None:
            frames = self._frames[encode] = [encode(envelope) for envelope in self.envelopes]
        return frames


@frozen
class Reply:
    """An event for this client alone, sent whatever its number: the answer to something it sent twice.

    `head`: the last event known to be in the log of the event's thread. If it is given, the client is also owed all
    events after this one: a connection that joined the thread later, without its client saying where it stands, goes
    back to this event and reads the log from here.
    """

    envelope: Envelope
    last_seq: int | None = None


@frozen
class SubscribeThread:
    """Send a thread's events from the one after `after`; `head` is the last one known to be in the log.

    `after` None joins the thread where it is. A thread that is followed already goes to `after`, back or forward: its
    client has said where it stands. `unasked`: its client has said nothing of the thread on this connection. That
    moves nothing that is followed, and a connection that is young waits a little for the client to say where it
    stands (`OutboxLimits.settle_s`).
    """

    thread_id: str
    after: int | None
    last_seq: int
    implicit: bool = False


@frozen
class UnsubscribeThread:
    """Send no more of a thread."""

    thread_id: str


@frozen
class Acked:
    """The client has shown a thread's events up to this one."""

    thread_id: str
    seq: int


@frozen
class CloseWhenDrained:
    """Send what is queued, for at most `within_s` seconds, then close."""

    code: int
    reason: str = ""
    within_s: float = 2.0


@frozen
class Close:
    """Close the socket, after what is queued for it. `reason` None is the code's own."""

    code: int
    reason: str | None = None
