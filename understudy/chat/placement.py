"""The interface to the other nodes: identity of this node, news about conversations, proxies.

The extension `nodes` implements it; a single node has no implementation. No I/O here.
"""

import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

import msgspec

from actors import Actor
from understudy.storage.records import Fence, RunRecord

if TYPE_CHECKING:
    from sqlalchemy import Select

    from understudy.wire.events import Envelope


async def is_in_charge(node: "Node | None") -> bool:
    """Return whether this server removes for all: a single node, or the oldest. Raises StorageUnavailable."""
    return node is None or await node.is_oldest()


class Node(Protocol):
    """This node among those that share its database; it gets another `id` after its lease has lapsed.

    `joined`: it has a lease. The methods raise StorageUnavailable.
    """

    @property
    def id(self) -> str: ...  # noqa: D102 - named above
    @property
    def joined(self) -> bool: ...  # noqa: D102

    def may_be_dead(self, now: float) -> bool:
        """Whether others may take this node for dead at that time of trio's clock, as its lease is over."""

    async def claim(self, owner: str, thread_id: str) -> Fence | str:
        """Claim a thread. Return the fence to append under, or the id of the living node that owns it."""

    async def orphans(self, *, own: bool) -> Sequence[RunRecord]:
        """Return the unfinished runs of threads without a living owner, oldest first; with `own` also of this node's.
        Return none if the node itself is not alive: then possibly no node could renew its lease."""

    async def orphaned_effects(self, others: "tuple[Select[tuple[str]], ...]") -> Sequence[RunRecord]:
        """Return runs with something to finish, of threads without a living owner and of this node's. `others` find the
        ids of those of which extensions have something to finish."""

    async def is_oldest(self) -> bool:
        """Return whether this node has been alive the longest."""


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


class RemoteNodes:
    """In place of an outbox: the nodes that follow a thread."""


class OtherNodes(Protocol):
    """The interface to the other nodes. Nothing waits for them."""

    def broadcast(self, news: News) -> None:
        """Send news to every other node. A node that cannot be reached is told later that it has missed some."""

    def is_followed(self, owner: str, thread_id: str) -> bool:
        """Return whether clients of other nodes may follow a thread of this node."""

    def deliver(self, owner: str, thread_id: str, incarnation: float | None, envelopes: "Sequence[Envelope]") -> None:
        """Send events of a thread to the nodes that follow it."""

    def tell_end(self, owner: str, thread_id: str, incarnation: float | None, last_seq: int) -> None:
        """Tell the nodes that follow a thread the number of its last event."""

    def tell_deleted(self, owner: str, thread_id: str, incarnation: float | None) -> None:
        """Tell the nodes that follow a thread, after its last events, that it is deleted."""


MakeProxy: TypeAlias = Callable[[str, str, str, int | None, float], Actor]
"""Makes a proxy for the conversation of a thread (its user, and id) that another node (its id) owns.

The user's connections here are subscribed after the event whose number comes next. If that is None, each gets the runs
that began since the time that is last (Unix seconds) and since it was opened; without such runs, what comes.
"""
