"""The recovery actor: finds runs that nobody works on, at the start and ever after, and wakes their conversations.

A conversation sees to what it finds unfinished when it starts (`understudy.chat.conversation.conversation`), so
starting it is enough; one that is alive is told which run it should know.

Where several servers share the database, it also finds the runs of those that died, soon after their lease is over:
others look for them too, so each takes some at a time, in an order of its own.
"""

import logging
import math
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, TypeVar

import trio

from actors import Actor, ActorError, ActorRef, Context
from understudy.chat.placement import Node
from understudy.chat.registry import ConversationRegistry, Key
from understudy.storage.errors import StorageError
from understudy.storage.rows import RunRecord
from understudy.storage.store import Store

log = logging.getLogger(__name__)
T = TypeVar("T")

EVERY_S: Final = 2.0
"""How often the store is asked; one indexed query that finds nothing as long as nothing has died."""
OTHERS_S: Final = 0.4
"""How often it is asked for the runs of servers that died, at the least; at most half as much later."""
BATCH: Final = 32
"""Runs of others that are claimed at a time: then the store is asked again, as others claim too."""
GATHER_S: Final = 0.05
"""Before what has come meanwhile is seen to, all together."""
LONGEST_S: Final = 3.0
"""Beyond which the rest of them wait no longer for one that cannot be had; it is tried again with the next."""


class _Check:
    """Look now."""


class CheckNow:
    """A conversation is ending, and somebody here follows its thread: another server has that, or it begins anew."""


class Recovery(Actor):
    """Makes sure that every accepted message ends, also when its server, or all conversations, died meanwhile.

    `node` is this server among others, None where there are none.
    """

    def __init__(self, store: Store, threads: ConversationRegistry, node: Node | None = None) -> None:
        self.store = store
        self.registry = threads
        self.node = node
        self.checked_at = -math.inf

    async def on_start(self, context: Context) -> None:
        """Look at once."""
        context.ref.tell(_Check())

    async def receive(self, message: object, context: Context) -> None:
        """Wake the conversation of every unfinished run; what fails is tried again the next time."""
        if isinstance(message, CheckNow):
            context.set_timer("moved", GATHER_S, _Check())
            return
        wait_s = EVERY_S if self.node is None else OTHERS_S * random.uniform(1.0, 1.5)  # noqa: S311 - to be apart
        context.set_timer("look", wait_s, _Check())
        try:
            await self._concurrently(self._resubscribe, self.registry.relocated(BATCH))
            if self.node is not None and self.node.joined and await self._take_over(self.node):
                context.set_timer("look", GATHER_S, _Check())
            if trio.current_time() >= self.checked_at + EVERY_S:
                self.checked_at = trio.current_time()
                await self._in_batches(self._wake, await self._unfinished())
                await self._in_batches(self._restart, await self.registry.dead_with_subscribers())
        except StorageError as error:
            log.warning("recovery.postponed", extra={"reason": str(error)})

    async def _unfinished(self) -> Sequence[RunRecord]:
        if self.node is None:
            return await self.store.unfinished_runs()
        return await self.store.orphans(self.node.id)

    async def _take_over(self, node: Node) -> bool:
        """Take some of the runs of servers that died; whether there are more."""
        runs = await self.store.orphans(node.id, own=False)
        random.shuffle(runs)
        await self._concurrently(self._wake, runs[:BATCH])
        return len(runs) > BATCH

    async def _in_batches(self, see_to: Callable[[T], Awaitable[None]], each: Sequence[T]) -> None:
        for first in range(0, len(each), BATCH):
            await self._concurrently(see_to, each[first : first + BATCH])

    async def _concurrently(self, see_to: Callable[[T], Awaitable[None]], each: Iterable[T]) -> None:
        with trio.move_on_after(LONGEST_S):
            async with trio.open_nursery() as nursery:
                for one in each:
                    nursery.start_soon(self._try, see_to, one)

    async def _try(self, see_to: Callable[[T], Awaitable[None]], one: T) -> None:
        """See to one; what fails is said in the log, and comes again."""
        try:
            await see_to(one)
        except (StorageError, ActorError) as error:
            about = {"run_id": one.id} if isinstance(one, RunRecord) else {}
            log.warning("recovery.postponed", extra=about | {"reason": str(error)})

    async def _wake(self, run: RunRecord) -> None:
        await self.registry.ensure_running(run.owner, run.thread_id, run.id)

    async def _restart(self, lost: Key) -> None:
        await self.registry.get_or_start(*lost)

    async def _resubscribe(self, moved: tuple[Key, ActorRef]) -> None:
        await self.registry.resubscribe(*moved)
