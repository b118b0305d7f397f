"""The interface to the other nodes: identity of this node, news about conversations, proxies.

`understudy.cluster` implements it; a single node has no implementation. No I/O here.
"""

import math
import uuid
from typing import Protocol, TypeAlias

import msgspec
from attrs import define, field

from actors import Actor
from understudy.storage.nodes import ALONE
from understudy.storage.records import LEASE_S


@define(eq=False)
class Node:
    """This node among those that share its database; it gets another `id` after its lease has lapsed.

    `alone`: it is configured as a single node, so there must be no others. `renewed_at` is when its lease was last
    renewed, on trio's clock; `lapses` counts how often the lease has lapsed.
    """

    alone: bool = False
    id: str = field(init=False)
    joined: bool = field(default=False, init=False)
    renewed_at: float = field(default=-math.inf, init=False)
    lapses: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self.rename()

    def may_be_dead(self, now: float) -> bool:
        """Whether others may take this node for dead at that time of trio's clock, as its lease is over."""
        return now - self.renewed_at > LEASE_S

    def rename(self) -> None:
        """Assign a new id."""
        self.id = (ALONE if self.alone else "") + uuid.uuid4().hex


class Moved(LookupError):
    """The node that was asked does not have the thread."""


def actor_name(owner: str, thread_id: str) -> str:
    """Return the name of a thread's actor: a hash, as paths are logged and thread ids are the user's own words."""
    return uuid.uuid5(uuid.NAMESPACE_OID, f"{owner}\0{thread_id}").hex


# News, to all nodes


class Active(msgspec.Struct, frozen=True, tag=True):
    """A thread has events after the number `after`: its user's connections may subscribe."""

    owner: str
    thread_id: str
    after: int


class TypingIn(msgspec.Struct, frozen=True, tag=True):
    """A user is typing in a thread."""

    owner: str
    thread_id: str


class Changed(msgspec.Struct, frozen=True, tag=True):
    """A user renamed, pinned, archived or tagged a thread."""

    owner: str
    thread_id: str


class Deleted(msgspec.Struct, frozen=True, tag=True):
    """A thread was deleted; a later thread of the same id is another one."""

    owner: str
    thread_id: str


class Read(msgspec.Struct, frozen=True, tag=True):
    """A user has seen these threads up to a number each; None: all of them."""

    owner: str
    threads: dict[str, int] | None = None


class Missed(msgspec.Struct, frozen=True, tag=True):
    """News since `since` (Unix seconds) may not have reached everybody."""

    since: float


class StopsChanged(msgspec.Struct, frozen=True, tag=True):
    """An operator stopped an agent, a tool or a model, or allowed it again: the stops must be read."""


News: TypeAlias = Active | TypingIn | Changed | Deleted | Read | Missed | StopsChanged


class OtherNodes(Protocol):
    """The interface to the other nodes."""

    def make_proxy(self, owner: str, thread_id: str, owner_node: str, after: int | None) -> Actor:
        """Make a proxy for the conversation of a thread that another node owns.

        `after` is the number of the event after which the user's connections here are subscribed.
        """

    def broadcast(self, news: News) -> None:
        """Send news to every other node. A node that cannot be reached is told later that it has missed some."""
