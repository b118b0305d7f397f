"""The events that every server of this package sends, and the base of those that a program adds.

An event says what happened; its `Envelope` adds the thread and run, the time, and the `seq` in the thread's log. Fields
have their wire names; times are Unix seconds unless a name says otherwise.
"""

import enum
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final, Self, TypeAlias

import attrs
import msgspec
from attrs import field, frozen

JsonObject: TypeAlias = Mapping[str, Any]
_WIRE_NAME: Final = "wire name"


class Priority(enum.StrEnum):
    """Sending order of events, between threads and among ephemeral events."""

    ALERT = "alert"
    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


@frozen
class Event:
    """Something that happened. `durable` events are committed to the log and numbered before they are sent.

    `terminal`: with a `seq` it ends its run, so late pieces of the run's text are dropped. `in_snapshot`: an ephemeral
    event about the state of a run, which a snapshot repeats: a client that waits for a snapshot is not sent it.
    """

    type: ClassVar[str]
    durable: ClassVar[bool] = True
    priority: ClassVar[Priority] = Priority.NORMAL
    terminal: ClassVar[bool] = False
    in_snapshot: ClassVar[bool] = False


def named(name: str) -> dict[str, str]:
    """Return the metadata of a field that has another name on the wire: `field(metadata=named("from"))`."""
    return {_WIRE_NAME: name}


def wire_name(attribute: "attrs.Attribute[Any]") -> str:
    """Return the name on the wire of an event's field."""
    return str(attribute.metadata.get(_WIRE_NAME, attribute.name))


# Sequences become tuples, so that an event is immutable throughout. One converter per type: mypy rejects `tuple`.
def _texts(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(values)


@frozen
class PartialResult(Event):
    """The next piece of a streamed answer; `offset` is the number of characters before it."""

    type: ClassVar[str] = "partial_result"
    durable: ClassVar[bool] = False
    text: str = field(repr=False)
    offset: int

    def beyond(self, sent: str) -> str:
        """Return what the piece adds to a text that was sent; empty if nothing, or if it does not continue that text.

        Sent text cannot be revoked in most protocols: the rest of an answer that is written anew is not shown there.
        """
        old, fresh = self.text[: len(sent) - self.offset], self.text[len(sent) - self.offset :]
        continues = self.offset <= len(sent) and sent.startswith(old, self.offset)
        return fresh if continues else ""


@frozen
class Error(Event):
    """An error, with a sentence for the user. With a run it is durable and terminal; without one it is neither.

    `code` is a name of `transport.wire.codes.ERRORS`; the log line with the same `error_id` has the rest.
    `retry_after` is in seconds.
    """

    type: ClassVar[str] = "error"
    priority: ClassVar[Priority] = Priority.HIGH
    terminal: ClassVar[bool] = True
    code: str
    message: str
    retryable: bool
    error_id: str
    retry_after: float | None = None


@frozen
class Welcome(Event):
    """The first frame of a connection. `threads` maps the user's live threads to their last `seq`."""

    type: ClassVar[str] = "welcome"
    durable: ClassVar[bool] = False
    priority: ClassVar[Priority] = Priority.HIGH
    connection_id: str
    user: str
    session: str
    version: str
    limits: JsonObject
    heartbeat_s: float
    threads: Mapping[str, int]
    capabilities: Sequence[str] = field(converter=_texts)
    session_token: str | None = field(default=None, repr=False)


@frozen
class Drain(Event):
    """The server is shutting down, and closes this connection with 1001 within `closes_in_s` seconds.

    `reconnect_after_s` differs between connections, so that not all clients reconnect at once.
    """

    type: ClassVar[str] = "drain"
    durable: ClassVar[bool] = False
    priority: ClassVar[Priority] = Priority.ALERT
    reconnect_after_s: float
    closes_in_s: float = 0.0


@frozen
class Ping(Event):
    """An application-level heartbeat, for clients that cannot see WebSocket pings."""

    type: ClassVar[str] = "ping"
    durable: ClassVar[bool] = False
    priority: ClassVar[Priority] = Priority.HIGH


@frozen
class Pong(Event):
    """The answer to a client's `ping`, with its `nonce`."""

    type: ClassVar[str] = "pong"
    durable: ClassVar[bool] = False
    priority: ClassVar[Priority] = Priority.HIGH
    nonce: str | None = None


@frozen
class Resync(Event):
    """The log was trimmed beyond the client's cursor: read the history and go on from `last_seq`."""

    type: ClassVar[str] = "resync"
    durable: ClassVar[bool] = False
    priority: ClassVar[Priority] = Priority.HIGH
    last_seq: int


EVENTS: Final[tuple[type[Event], ...]] = (PartialResult, Error, Welcome, Drain, Ping, Pong, Resync)
"""The events of this package."""


class Envelope(msgspec.Struct, frozen=True, eq=False):
    """An event with everything around it, as the canonical dialect shows it.

    `seq` is the event's number in its thread's log (durable events only). `timestamp` is when it was emitted.
    `message` is one line for a human reader. `text_epoch` names the text that a `PartialResult` is a piece of, within
    the server only: an answer that is written again, as after the death of a server, is another text. `frame` is the
    canonical frame of an envelope that was encoded for a log or read from one, so that it is encoded once.

    A program adds names of its own in a subclass: each is text, or None and then omitted on the wire; those in `nulls`
    are null there. `client_names` are members that a client chooses, by which a refusal names its message. Every event
    gets an envelope, so this is a Struct: a frozen attrs class of as many fields takes seven times as long to make.
    """

    client_names: ClassVar[tuple[str, ...]] = ("message_id", "thread_id")
    nulls: ClassVar[frozenset[str]] = frozenset()

    event: Event
    timestamp: float
    seq: int | None = None
    thread_id: str | None = None
    run_id: str | None = None
    message_id: str | None = None
    message: str = ""
    text_epoch: str = ""
    frame: bytes = b""

    def replace(self, **changes: Any) -> Self:
        """Return a copy with these fields changed, which is not encoded yet."""
        return msgspec.structs.replace(self, frame=b"", **changes)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and _members(self) == _members(other)

    __hash__ = None  # type: ignore[assignment]  # an event may hold objects

    def __repr__(self) -> str:
        return f"Envelope({self.event!r}, seq={self.seq}, thread_id={self.thread_id!r}, run_id={self.run_id!r})"


def _members(envelope: Any) -> list[Any]:
    """Return the members that are compared for equality: all but `frame`."""
    return [getattr(envelope, name) for name in envelope.__struct_fields__ if name != "frame"]
