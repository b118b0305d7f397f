"""Which node a conversation belongs to, and what a node says to the others about conversations.

`understudy.cluster` carries it out; on a single node there is nothing to carry out. Nothing here has sockets.
"""

import math
import uuid
from typing import Protocol, TypeAlias

import msgspec
from attrs import define, field

from actors import Actor
from understudy.storage.nodes import ALONE


@define(eq=False)
class Node:
    """This server among those that share its database; `id` is another one after the server was taken for dead.

    `alone`: it knows nothing of others, so there must be none. `renewed_at` is when it was last said to be alive, in
    trio's time; `lapses` counts how often it was taken for dead.
    """

    alone: bool = False
    id: str = field(init=False)
    joined: bool = field(default=False, init=False)
    renewed_at: float = field(default=-math.inf, init=False)
    lapses: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self.rename()

    def rename(self) -> None:
        """Take a new id."""
        self.id = (ALONE if self.alone else "") + uuid.uuid4().hex


class Moved(LookupError):
    """The node that was asked does not have the thread."""


def actor_name(owner: str, thread_id: str) -> str:
    """The name of a thread's actor. A hash: paths are logged and shown, and these ids are the user's own words."""
    return uuid.uuid5(uuid.NAMESPACE_OID, f"{owner}\0{thread_id}").hex


# News, to all nodes


class Active(msgspec.Struct, frozen=True, tag=True):
    """Something happens in a thread, after its event of number `after`: its user's connections may follow."""

    owner: str
    thread_id: str
    after: int


class TypingIn(msgspec.Struct, frozen=True, tag=True):
    """A user is typing in a thread."""

    owner: str
    thread_id: str


class Deleted(msgspec.Struct, frozen=True, tag=True):
    """A thread was deleted: what begins later under its name is another."""

    owner: str
    thread_id: str


News: TypeAlias = Active | TypingIn | Deleted


class OtherNodes(Protocol):
    """The way to the other servers, where there are some."""

    def relay(self, owner: str, thread_id: str, holder: str, after: int | None) -> Actor:
        """Make what stands here for the conversation of a thread that the node `holder` has.

        `after` is the number of the event after which the user's connections here are to be told what happens.
        """

    def tell_all(self, news: News) -> None:
        """Tell every other server something, if that can be."""
