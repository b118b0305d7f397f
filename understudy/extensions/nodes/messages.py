"""Messages between nodes. All are plain data; `codec` encodes them.

Commands go to the node that owns a thread, and are answered; it is addressed by user and thread id. The numbers of its
events and text flow from there to the nodes that follow the thread, and news (`understudy.chat.placement`) go to all
nodes. New fields have a default: nodes of the release before do not send them,
and ignore them. Any other change of a shape, also of a type used here, requires another `codec.VERSION`.
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
"""Messages to a conversation that can be forwarded to its node, beside those that the parts of extensions handle."""
_LOCAL: Final = ("outbox", "arrived_at", "earlier")
"""Fields that are not forwarded: a connection and its commands belong to the sending node, and each node takes its own
time."""


class RpcRequest(msgspec.Struct, frozen=True, tag="Request"):
    """To the node that owns a thread: have its conversation handle a message, the `command` of these `fields`.

    `id` is that of its letter. `traceparent` names the span of the forwarding (W3C Trace Context), empty if its run is
    not traced.
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
    return [each for each in attrs.fields(kind) if each.name not in _LOCAL]


@cache
def shape_of(kind: type[Any]) -> type[msgspec.Struct]:
    """Return the struct of the fields of a message that are forwarded."""
    fields: list[Any] = [
        (each.name, each.type) if each.default is attrs.NOTHING else (each.name, each.type, each.default)
        for each in _forwarded(kind)
    ]
    return msgspec.defstruct(kind.__name__, fields, frozen=True)


def fields_of(message: object) -> dict[str, Any]:
    """Return the fields of a message to a conversation that are forwarded."""
    return {each.name: getattr(message, each.name) for each in _forwarded(type(message))}


def message_of(request: RpcRequest, parts: Iterable[type[ThreadPart]] = ()) -> Any:
    """Return the message to the conversation that a request carries, as arrived now and without a connection.

    Raises:
        CommandRejected: Neither a conversation nor one of these parts handles it (`unknown_type`).
        msgspec.ValidationError: Its fields are not those of such a message.
    """
    known = {kind.__name__: kind for kinds in (FORWARDED, *(part.messages for part in parts)) for kind in kinds}
    if (kind := known.get(request.command)) is None:
        raise CommandRejected("unknown_type")
    shape = shape_of(kind)  # type: ignore[arg-type]  # a class is hashable
    values = msgspec.structs.asdict(msgspec.convert(request.fields, shape))
    local = {"outbox": None, "arrived_at": time.time(), "earlier": ()}
    return kind(**values, **{each.name: local[each.name] for each in attrs.fields(kind) if each.name in local})


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


# Between the owner of a thread and the nodes that follow it

FRAMES_MAX: Final = 6_000
"""Bytes of the rows that go with a number: a message of `NOTIFY` has less than 8,000."""


class OfThread(msgspec.Struct, frozen=True, tag=True):
    """About a thread, by the node `node`."""

    node: str
    owner: str
    thread_id: str

    def __repr__(self) -> str:  # the others hold users' words
        return f"{type(self).__name__}({self.node!r})"


class Following(OfThread, frozen=True):
    """`node` follows a thread: for a while, until it says so again. `snapshot`: it may have missed events."""

    snapshot: bool = False


class Advanced(OfThread, frozen=True):
    """The log of a thread has events up to number `last`, by the node that owns it.

    `incarnation` tells threads of the same id apart (`transport.wire.messages.SubscribeThread`). `frames` are the rows
    of the last events if they are short: they need not be read, and the last ones of a thread that is being deleted
    cannot be.
    """

    last: int
    incarnation: float | None = None
    frames: tuple[msgspec.Raw, ...] = ()

    def after(self, number: int) -> Sequence[bytes]:
        """Return the rows of the events after that number; none if it does not have them all."""
        missing = self.last - number
        return [bytes(row) for row in self.frames[-missing:]] if 0 < missing <= len(self.frames) else []


class Passing(OfThread, frozen=True):
    """An ephemeral event that follows event number `head`, encoded as in the log, which has no `epoch` of text."""

    head: int
    body: msgspec.Raw
    epoch: str = ""


class ThreadGone(OfThread, frozen=True):
    """A thread of the sending node was deleted. `incarnation` is as in `Advanced`."""

    incarnation: float | None = None


class Mail(msgspec.Struct, frozen=True, tag=True):
    """There are letters in the inbox."""


class Heard(msgspec.Struct, frozen=True, tag=True):
    """News from a node, to all."""

    node: str
    news: News


Told: TypeAlias = Advanced | Passing | ThreadGone | Following | Mail | Heard
"""What may be lost."""
