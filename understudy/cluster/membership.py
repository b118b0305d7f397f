"""The node that this server is, and the actor that keeps it alive.

1. Who is alive is what the database says, by its clock. A node that was taken for dead does not come back: it takes a
   new id, as another has something of it by now. As long as none has, it goes on, however long it was silent: when the
   database was away for a while, the conversations of all nodes just go on.
2. Nothing is lost where this goes wrong: what a server writes to a thread that another has claimed is refused.
3. A node that ends in order says so, and its threads are free at once; of one that is killed they are when its lease
   is over, and others could say meanwhile that they are alive.
"""

import logging
from collections.abc import Callable
from typing import Final

import trio

from actors import Actor, ActorRef, Context, Exit, Shutdown
from understudy.chat.messages import OwnershipLost
from understudy.chat.placement import Node
from understudy.storage.errors import AlreadyServed, StorageError, StorageUnavailable
from understudy.storage.store import Store
from understudy.storage.writes import LEASE_S

log = logging.getLogger(__name__)

RENEW_EVERY_S: Final = 0.5
"""How often a node says that it is alive: three times may fail before its lease is over."""
RENEW_TIMEOUT_S: Final = 1.0
"""How long it tries each time."""
LEAVE_TIMEOUT_S: Final = 1.0
RETRY_S: Final = 0.1
"""Before another try to join, while another server stands against it."""


async def join(store: Store, node: Node, where: str, *, lease_s: float = LEASE_S) -> None:
    """Enter a node among the living, at the latest when a server that was killed is taken for dead.

    `where` names the database to an operator.

    Raises:
        AlreadyServed: Another server is alive, and one of the two knows nothing of others.
        StorageUnavailable: The database cannot be written to.
    """
    deadline = trio.current_time() + lease_s + RENEW_EVERY_S
    while not await _joined(store, node, lease_s):
        if trio.current_time() >= deadline:
            raise AlreadyServed(where)
        await trio.sleep(RETRY_S)


async def _joined(store: Store, node: Node, lease_s: float) -> bool:
    began = trio.current_time()
    node.joined = await store.join(node.id, alone=node.alone, lease_s=lease_s)
    if node.joined:
        node.renewed_at = began
        log.info("node.joined", extra={"node": node.id})
    return node.joined


def stop_conversations(conversations: ActorRef) -> None:
    """Have all conversations end, and whatever stands for another server's: each is claimed again when it is needed."""
    for each in conversations.children():
        if not each.try_tell(OwnershipLost()):
            each.kill()


class _RenewNodeLease:
    """Say that the node is alive."""


class Membership(Actor):
    """Keeps a node that has joined alive, and has it leave in the end.

    `on_lapse` is called when it was taken for dead: whatever it had of threads may be another's.
    """

    def __init__(
        self,
        store: Store,
        node: Node,
        on_lapse: Callable[[], None],
        *,
        lease_s: float = LEASE_S,
        every_s: float = RENEW_EVERY_S,
    ) -> None:
        self.store = store
        self.node = node
        self.on_lapse = on_lapse
        self.lease_s = lease_s
        self.every_s = every_s

    async def on_start(self, context: Context) -> None:
        """Begin at once: some time may have passed."""
        context.ref.tell(_RenewNodeLease())

    async def receive(self, message: object, context: Context) -> None:
        """Renew the lease, or join anew; while the database is away, that is tried again and again."""
        if not isinstance(message, _RenewNodeLease):
            context.unhandled(message)
            return
        context.set_timer("renew", self.every_s, message)
        try:
            if not self.node.joined or await self._lapsed():
                await self._join_anew()
        except StorageUnavailable:
            pass  # the writer says so in the log; whether this node was taken for dead shows when it is back

    async def on_stop(self, context: Context, reason: Exit) -> None:
        """Where the server ends, leave; an actor that is started again goes on."""
        if isinstance(reason, Shutdown) and self.node.joined:
            with trio.move_on_after(LEAVE_TIMEOUT_S):
                try:
                    await self.store.leave(self.node.id)
                except StorageError as error:
                    log.warning("node.not_left", extra={"node": self.node.id, "reason": str(error)})

    async def _lapsed(self) -> bool:
        """Renew the lease; whether this node was taken for dead."""
        began = trio.current_time()
        if await self.store.renew(
            self.node.id, lease_s=self.lease_s, deadline_s=min(RENEW_TIMEOUT_S, self.lease_s / 2)
        ):
            self.node.renewed_at = began
            return False
        self.node.lapses += 1
        silent_s = round(began - self.node.renewed_at, 3)
        log.warning("node.lapsed", extra={"node": self.node.id, "silent_s": silent_s})
        self.node.joined = False
        self.on_lapse()
        return True

    async def _join_anew(self) -> None:
        await self.store.leave(self.node.id)
        self.node.rename()
        if not await _joined(self.store, self.node, self.lease_s):
            log.error("node.replaced", extra={"reason": "another understudy uses the database"})
