"""The membership of this node in the cluster: a lease in the database, and the actor that renews it.

1. The database decides by its clock which nodes are alive. A node whose lease expired is declared dead when another
   node claims one of its threads; it then joins again under a new id. Until then it may renew the lease, however late,
   so the conversations of all nodes survive an outage of the database.
2. Safety does not depend on the lease: a write to a thread that another node has claimed is refused (the fence).
3. A node that shuts down leaves, and its threads are free at once. The threads of a killed node are free when its lease
   has expired, provided that other nodes could renew theirs meanwhile.
"""

import logging
import math
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, NoReturn

import trio
from attrs import define, field

from actors import Actor, ActorRef, Context, Exit, Shutdown
from understudy.chat.conversation.thread_part import Unfinished
from understudy.chat.messages import OwnershipLost
from understudy.extensions.nodes import storage
from understudy.extensions.nodes.peers import Peers
from understudy.extensions.nodes.storage import LEASE_S, join_nodes, leave_nodes, renew_node
from understudy.storage.errors import StorageError, StorageUnavailable
from understudy.storage.polling import until_next
from understudy.storage.records import Fence, RunRecord
from understudy.storage.store import Store

log = logging.getLogger(__name__)

RENEW_EVERY_S: Final = 0.5
"""Interval of lease renewals; three in a row may fail before the lease expires."""
RENEW_TIMEOUT_S: Final = 1.0
"""Timeout of one renewal."""
LEAVE_TIMEOUT_S: Final = 1.0
"""Timeout of deleting the node's row at shutdown; if that fails, its threads are free when the lease expires."""
LOOK_S: Final = 0.25
"""Interval at which a node reads which others are alive."""


@define(eq=False)
class Member:
    """This node, by its lease; implements `Node`.

    `renewed_at` is when the last renewal began, on trio's clock; `lapses` counts how often the node was declared dead.
    """

    store: Store
    id: str = field(init=False)
    joined: bool = field(default=False, init=False)
    renewed_at: float = field(default=-math.inf, init=False)
    lapses: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self.rename()

    def rename(self) -> None:
        """Assign a new id."""
        self.id = uuid.uuid4().hex

    def may_be_dead(self, now: float) -> bool:
        """As `Node.may_be_dead`."""
        return now - self.renewed_at > LEASE_S

    async def claim(self, owner: str, thread_id: str) -> Fence | str:
        """As `Node.claim`."""
        return await storage.claim(self.store, owner, thread_id, self.id)

    async def orphans(self, *, own: bool) -> Sequence[RunRecord]:
        """As `Node.orphans`."""
        return await self.store.read(storage.orphans, self.id, own)

    async def orphaned_effects(self, others: Unfinished) -> Sequence[RunRecord]:
        """As `Node.orphaned_effects`."""
        return await self.store.read(storage.orphaned_effects, self.id, others)

    async def is_oldest(self) -> bool:
        """As `Node.is_oldest`."""
        return (await self.store.read(storage.living))[:1] == [self.id]


async def join(node: Member, *, lease_s: float = LEASE_S) -> None:
    """Join the cluster. Raises StorageUnavailable if the database cannot be written to."""
    began = trio.current_time()
    await node.store.commit_urgent(join_nodes(node.id, lease_s))
    node.joined, node.renewed_at = True, began
    log.info("node.joined", extra={"node": node.id})


def stop_conversations(conversations: ActorRef) -> None:
    """Stop all conversations and proxies; a thread is claimed again when it is next used."""
    for conversation in conversations.children():
        if not conversation.try_tell(OwnershipLost()):
            conversation.kill()


class _Renew:
    """Renew the lease of the node."""


class Membership(Actor):
    """Renews the lease of a node that has joined, watches the other nodes, and leaves at shutdown.

    `on_lapse` is called when the node was declared dead: other nodes may own its threads by then.
    """

    def __init__(
        self,
        node: Member,
        on_lapse: Callable[[], None],
        peers: Peers | None = None,
        *,
        lease_s: float = LEASE_S,
        every_s: float = RENEW_EVERY_S,
    ) -> None:
        self.node = node
        self.on_lapse = on_lapse
        self.peers = peers
        self.lease_s = lease_s
        self.every_s = every_s

    async def on_start(self, context: Context) -> None:
        """Renew the lease at once, as a restart may have taken time, and start the watch."""
        context.ref.tell(_Renew())
        if self.peers is not None:
            context.start_soon(self._watch, self.peers, context, name="watch")

    async def receive(self, message: object, context: Context) -> None:
        """Renew the lease, or join under a new id; retried while the database is down."""
        if not isinstance(message, _Renew):
            context.unhandled(message)
            return
        context.set_timer("renew", self.every_s, message)
        try:
            if not self.node.joined or await self._lapsed():
                await self.node.store.commit_urgent(leave_nodes(self.node.id))
                self.node.rename()
                await join(self.node, lease_s=self.lease_s)
        except StorageUnavailable:
            pass  # the writer logs it; whether the lease was lost shows when the database is back

    async def _watch(self, peers: Peers, context: Context) -> NoReturn:
        """Watch the other nodes, in a task of its own: a read may take longer than a renewal may be late."""
        while True:
            with suppress(StorageError):
                await peers.look(context)
            await trio.sleep(until_next(LOOK_S))

    async def on_stop(self, context: Context, reason: Exit) -> None:
        """Leave the cluster if the server shuts down, not if this actor restarts."""
        if isinstance(reason, Shutdown) and self.node.joined:
            with trio.move_on_after(LEAVE_TIMEOUT_S):
                try:
                    await self.node.store.commit_urgent(leave_nodes(self.node.id))
                except StorageError as error:
                    log.warning("node.not_left", extra={"node": self.node.id, "reason": str(error)})

    async def _lapsed(self) -> bool:
        """Renew the lease. Return True, after `on_lapse`, if this node had been declared dead."""
        began = trio.current_time()
        renewal = renew_node(self.node.id, self.lease_s)
        if await self.node.store.commit_urgent(renewal, min(RENEW_TIMEOUT_S, self.lease_s / 2)):
            self.node.renewed_at = began
            return False
        self.node.lapses += 1
        silent_s = round(began - self.node.renewed_at, 3)
        log.warning("node.lapsed", extra={"node": self.node.id, "silent_s": silent_s})
        self.node.joined = False
        self.on_lapse()
        return True
