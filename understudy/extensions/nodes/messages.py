"""Messages between nodes. All are plain data; `codec` encodes them.

Commands go to the node that owns a thread, named by its user and id, and are answered. The owner sends the numbers of
events and streamed text to the nodes that follow the thread; news (`understudy.chat.placement`) go to all nodes.
New fields have a default, because nodes of the previous release do not send them. Any other change of a shape, also of
a type used here, requires another `codec.VERSION`.
"""

import time
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Final, TypeAlias

import attrs
import msgspec

from transport.wire.errors import CommandRejected
from understudy.chat import messages as chat
from understudy.chat.conversation.thread_part import ThreadPart
from understudy.chat.placement import News

# Commands to the node that owns a thread

FORWARDED: Final[tuple[type[Any], ...]] = (
    chat.Accept,
    chat.RateAnswer,
    chat.CancelRun,
    chat.Decide,
    chat.AnswerQuestion,
    chat.Delete,
)
"""Messages to a conversation that can be forwarded to its node, besides those that the parts of extensions handle."""
_LOCAL: Final = ("outbox", "arrived_at", "earlier")
"""Fields that are not forwarded: a connection and its commands belong to the sending node, and each node takes its own
time."""


class RpcRequest(msgspec.Struct, frozen=True, tag="Request"):
    """A request to the node that owns a thread: have its conversation handle a message.

    `command` is the name of the message's class and `fields` are its fields. `id` is also the id of the letter that
    carries the request. `traceparent` names the span of the forwarding (W3C Trace Context), empty if not traced.
    """

    id: str
    owner: str
    thread_id: str
    command: str
    fields: dict[str, Any] = {}
    traceparent: str = ""

    def __repr__(self) -> str:  # the fields hold users' texts
        return f"RpcRequest({self.id!r}, {self.command!r})"


def _forwarded(kind: type[Any]) -> "list[attrs.Attribute[Any]]":
    return [member for member in attrs.fields(kind) if member.name not in _LOCAL]


@cache
def shape_of(kind: type[Any]) -> type[msgspec.Struct]:
    """Return a struct type of those fields of a message class that are forwarded."""
    fields: list[Any] = [
        (member.name, member.type) if member.default is attrs.NOTHING else (member.name, member.type, member.default)
        for member in _forwarded(kind)
    ]
    return msgspec.defstruct(kind.__name__, fields, frozen=True)


def fields_of(message: object) -> dict[str, Any]:
    """Return the fields of a message to a conversation that are forwarded."""
    return {member.name: getattr(message, member.name) for member in _forwarded(type(message))}


def message_of(request: RpcRequest, parts: Iterable[type[ThreadPart]] = ()) -> Any:
    """Return the message to a conversation that a request carries, with the present time and without a connection.

    Raises:
        CommandRejected: Neither conversations nor `parts` handle such a message (`unknown_type`).
        msgspec.ValidationError: The fields are not those of such a message.
    """
    commands = {kind.__name__: kind for kinds in (FORWARDED, *(part.messages for part in parts)) for kind in kinds}
    if (kind := commands.get(request.command)) is None:
        raise CommandRejected("unknown_type")
    shape = shape_of(kind)  # type: ignore[arg-type]  # a class is hashable
    values = msgspec.structs.asdict(msgspec.convert(request.fields, shape))
    local = {"outbox": None, "arrived_at": time.time(), "earlier": ()}
    return kind(**values, **{member.name: local[member.name] for member in attrs.fields(kind) if member.name in local})


class RpcFault(msgspec.Struct, frozen=True, tag="Fault"):
    """The reason why a request failed. `kind` is one of:

    `rejected`: a `CommandRejected` with its `code`. `elsewhere`: the message is already in the thread `text`. `moved`:
    another node owns the thread. `unavailable`: the storage or the conversation is unavailable.
    """

    kind: str
    text: str = ""
    code: str = ""
    retry_after: float | None = None
    names: dict[str, str] = {}


class RpcReply(msgspec.Struct, frozen=True, tag="Answer"):
    """The reply to the node that sent a request: a value, or the fault."""

    id: str
    value: bool | int | str | None = None
    fault: RpcFault | None = None


# Between the owner of a thread and the nodes that follow it

FRAMES_MAX: Final = 6_000
"""Bytes of the rows that are sent with a number at most: a message of `NOTIFY` must have less than 8,000."""


class OfThread(msgspec.Struct, frozen=True, tag=True):
    """A message about a thread; `node` is its sender."""

    node: str
    owner: str
    thread_id: str

    def __repr__(self) -> str:  # the other fields hold users' words
        return f"{type(self).__name__}({self.node!r})"


class Following(OfThread, frozen=True):
    """`node` follows a thread, until it stops repeating this. `snapshot`: it may have missed events."""

    snapshot: bool = False


class Advanced(OfThread, frozen=True):
    """The log of a thread has events up to number `last`; sent by the owner.

    `incarnation` distinguishes threads of the same id (`transport.wire.messages.SubscribeThread`). `frames` are the
    rows of the last events if they are short. They save a read of the log, in which the last rows of a thread that is
    being deleted cannot be found any more.
    """

    last: int
    incarnation: float | None = None
    frames: tuple[msgspec.Raw, ...] = ()

    def after(self, number: int) -> Sequence[bytes]:
        """Return the rows of the events after `number`; none unless all of them are in `frames`."""
        missing = self.last - number
        return [bytes(row) for row in self.frames[-missing:]] if 0 < missing <= len(self.frames) else []


class Passing(OfThread, frozen=True):
    """An ephemeral event that was sent after event number `head`.

    `body` is encoded as in the log, which stores no epoch of streamed text; so `epoch` is beside it.
    """

    head: int
    body: msgspec.Raw
    epoch: str = ""


class ThreadGone(OfThread, frozen=True):
    """A thread of the sending node was deleted. `incarnation` distinguishes it from others of the same id."""

    incarnation: float | None = None


class Mail(msgspec.Struct, frozen=True, tag=True):
    """There are letters in the inbox."""


class Heard(msgspec.Struct, frozen=True, tag=True):
    """News that a node sends to all nodes."""

    node: str
    news: News


Told: TypeAlias = Advanced | Passing | ThreadGone | Following | Mail | Heard
"""The messages of wakeups, which may be lost."""
