"""Messages between nodes. The owner of a thread is addressed by user and thread id, subscribers by the actor name.

Requests are answered, events flow from the owner of a thread to the nodes that subscribed to it, and news
(`understudy.chat.placement`) go to all nodes. All are plain data; `codec` encodes them. A change of any shape, also of
a type used here, requires another `codec.VERSION`. New fields have a default: nodes of the release before do not send
them, and ignore them.
"""

import time
from collections.abc import Iterable
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs
import msgspec

from transport.wire.errors import CommandRejected
from understudy.chat import messages as chat
from understudy.chat.conversation.thread_part import ThreadPart
from understudy.wire.events import AskedAgent

# Commands to the node that owns a thread

_FORWARDED: Final[dict[str, type[Any]]] = {
    "Accept": chat.Accept,
    "Rate": chat.RateAnswer,
    "CancelRun": chat.CancelRun,
    "Decide": chat.Decide,
    "AnswerQuestion": chat.AnswerQuestion,
    "Delete": chat.Delete,
    "Wake": chat.EnsureRunning,
}
"""Messages to a conversation that can be forwarded to its node, by wire tag."""
_LOCAL: Final = ("outbox", "arrived_at", "earlier")
"""Fields that are not forwarded: a connection and its commands belong to the sending node, and each node takes its own
time."""


def _struct_for(tag: str, message: type[Any]) -> type[msgspec.Struct]:
    """Make the struct that carries the fields of a message. Its repr has no fields: they hold users' texts."""
    fields: list[Any] = [
        (each.name, each.type) if each.default is attrs.NOTHING else (each.name, each.type, each.default)
        for each in attrs.fields(message)
        if each.name not in _LOCAL
    ]
    namespace = {"__repr__": lambda _: f"{tag}()"}
    return msgspec.defstruct(tag, fields, frozen=True, tag=tag, namespace=namespace)


_STRUCTS: Final = {message: _struct_for(tag, message) for tag, message in _FORWARDED.items()}
_MESSAGES: Final = {struct: message for message, struct in _STRUCTS.items()}

if TYPE_CHECKING:
    Forwarded: TypeAlias = msgspec.Struct
else:
    Forwarded = reduce(or_, _MESSAGES)


class OfExtension(msgspec.Struct, frozen=True, tag=True):
    """A message that the part of an extension handles, by the `name` of its class, with its `fields`."""

    name: str
    fields: dict[str, Any]

    def __repr__(self) -> str:
        return f"OfExtension({self.name!r})"


def command_from_message(message: object) -> "Forwarded | OfExtension":
    """Return the command that carries a message to a conversation on another node."""
    struct = _STRUCTS.get(type(message))
    if struct is None:
        kind: type[Any] = type(message)
        names = [each.name for each in attrs.fields(kind) if each.name not in _LOCAL]
        return OfExtension(kind.__name__, {name: getattr(message, name) for name in names})
    return struct(**{name: getattr(message, name) for name in struct.__struct_fields__})


def message_from_command(command: msgspec.Struct, parts: Iterable[type[ThreadPart]] = ()) -> Any:
    """Return the message to the conversation that a command carries, as arrived now and without a connection.

    Raises:
        CommandRejected: None of these parts handles it (`unknown_type`).
    """
    if isinstance(command, OfExtension):
        known = {kind.__name__: kind for part in parts for kind in part.messages}
        if (extended := known.get(command.name)) is None:
            raise CommandRejected("unknown_type")
        message, command = extended, msgspec.convert(command.fields, _struct_for(command.name, extended))
    else:
        message = _MESSAGES[type(command)]
    values = {name: getattr(command, name) for name in command.__struct_fields__}
    local = {"outbox": None, "arrived_at": time.time(), "earlier": ()}
    return message(**values, **{each.name: local[each.name] for each in attrs.fields(message) if each.name in local})


class Subscribe(msgspec.Struct, frozen=True, tag="Attend"):
    """Forward the thread's events to the asking node. The subscription is a lease that a repeated request renews.

    The reply is the number of the thread's last event, None if there is no such thread. `incarnation`: only if the
    thread is this one of its id; else the request fails with Moved.
    """

    incarnation: float | None = None


class Snapshot(msgspec.Struct, frozen=True, tag=True):
    """Send the text so far of a running answer: the asking node missed a part of it."""


class Unsubscribe(msgspec.Struct, frozen=True, tag="Leave"):
    """Stop forwarding the thread's events to the asking node."""


Command: TypeAlias = Forwarded | OfExtension | Subscribe | Snapshot | Unsubscribe


class RpcRequest(msgspec.Struct, frozen=True, tag="Request"):
    """To the node that owns a thread: execute a command within `within_s` seconds. An empty `id` wants no reply.

    `asked_at` is when it was asked, in Unix seconds by the broker's clock; 0 from a node of an earlier release.
    `traceparent` names the span of the forwarding (W3C Trace Context), empty if its run is not traced.
    """

    id: str
    owner: str
    thread_id: str
    within_s: float
    command: Command
    traceparent: str = ""
    asked_at: float = 0.0


class RpcFault(msgspec.Struct, frozen=True, tag="Fault"):
    """Why a request failed. `kind` is one of:

    `rejected`: a `CommandRejected` with its `code`. `elsewhere`: the message is already in the thread `text`. `moved`:
    another node owns the thread. `unavailable`: the storage or the conversation is unavailable.
    """

    kind: str
    text: str = ""
    code: str = ""
    retry_after: float | None = None
    names: dict[str, str] = {}


class RpcReply(msgspec.Struct, frozen=True, tag="Answer"):
    """To the node that sent a request: its result."""

    id: str
    value: bool | int | str | None = None
    fault: RpcFault | None = None


# To the nodes that subscribed to a thread


class Events(msgspec.Struct, frozen=True, tag=True):
    """The next events of a thread, as in the log but with placeholders restored; `first` is the number of the first.

    `incarnation` tells threads of the same id apart (`transport.wire.messages.SubscribeThread`).
    """

    thread: str
    first: int
    bodies: list[bytes]
    incarnation: float | None = None

    def __repr__(self) -> str:
        return f"Events({self.thread!r}, {self.first}, {len(self.bodies)} of them)"


class TextPiece(msgspec.Struct, frozen=True, array_like=True):
    """A delta of streamed text. Nine of ten events are deltas, so they have this compact form."""

    timestamp: float
    thread_id: str | None
    run_id: str | None
    message_id: str | None
    conversation_id: str | None
    agent_type: str | None
    pillar: str | None
    message: str
    offset: int
    text: str
    asked_agent: AskedAgent | None = None
    epoch: str = ""


class Ephemeral(msgspec.Struct, frozen=True, tag="Passing"):
    """Ephemeral events that follow event number `head`. They may be lost.

    A body is a text delta, or another event encoded as in the log.
    """

    thread: str
    head: int
    bodies: list[TextPiece | bytes]

    def __repr__(self) -> str:
        return f"Passing({self.thread!r}, {self.head}, {len(self.bodies)} of them)"


class ForwardingEnded(msgspec.Struct, frozen=True, tag="Ended"):
    """The sending node no longer owns the thread; `deleted`: the thread is gone. `incarnation` is as in `Events`."""

    thread: str
    deleted: bool = False
    incarnation: float | None = None


Item: TypeAlias = RpcRequest | RpcReply | Events | ForwardingEnded | Ephemeral
