"""The recovery actor: finds unfinished runs without a conversation, at start and periodically, and starts it.

A conversation resumes its unfinished runs when it starts (`understudy.chat.conversation.conversation`), so starting it
is enough; a live one is sent the id of the run it should know.

If several nodes share the database, it also finds the runs of nodes that died, soon after their lease has expired. The
other nodes look for them too, so each takes a batch at a time, in random order.

After a start thousands of runs may be unfinished. They are woken oldest first, and only while few woken ones wait for a
permit: so the number of conversations in memory is bounded, and the queue keeps positions for new messages.
"""

import logging
import math
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, TypeVar

import trio

from actors import Actor, ActorError, ActorRef, Context
from understudy.chat.conversation.thread_part import unfinished
from understudy.chat.messages import EnsureEffects
from understudy.chat.registry import ConversationRegistry
from understudy.chat.run_limiter import RunLimiter
from understudy.storage import queries
from understudy.storage.errors import StorageError
from understudy.storage.records import RunRecord
from understudy.storage.store import Store

log = logging.getLogger(__name__)
T = TypeVar("T")

EVERY_S: Final = 2.0
"""Seconds between queries for unfinished runs: one indexed query, which finds nothing as long as nothing has died."""
LOOK_S: Final = 0.4
"""Seconds between checks of this node's own knowledge in a cluster; runs of a dead node are queried when it died."""
BATCH: Final = 32
"""Runs of dead nodes claimed at a time; then the store is queried again, as other nodes claim them too."""
GATHER_S: Final = 0.05
"""Seconds in which further `CheckNow` are gathered before a check."""
QUEUED: Final = 256
"""Runs that may wait for a permit before no more are woken; a quarter of the queue (`limits.runs_waiting`)."""
QUEUED_OF_OWNER: Final = 16
"""Runs of one owner that may wait before no more of theirs are woken, so that they do not hold up other owners."""
MORE_S: Final = 0.5
"""Seconds until the next runs are woken if some were left for lack of room in the queue."""
LONGEST_S: Final = 3.0
"""Seconds for one batch; a conversation that cannot be started by then is tried again with the next check."""


class _Check:
    """To itself: check now."""


class CheckNow:
    """To recovery: a conversation with subscribers here has been relocated, or a node died: look for what is left."""


class Recovery(Actor):
    """Makes sure that every accepted message ends, even if its node, or all conversations, died meanwhile."""

    def __init__(self, store: Store, threads: ConversationRegistry, limiter: RunLimiter[ActorRef]) -> None:
        self.store = store
        self.limiter = limiter
        self.registry, self.node = threads, threads.node
        self.checked_at = -math.inf
        self.died = True  # another node, or it may have
        self.quiet_since: int | None = None  # `registry.starts` when nothing was found, and no conversation was there

    async def on_start(self, context: Context) -> None:
        """Check at once."""
        context.ref.tell(_Check())

    async def receive(self, message: object, context: Context) -> None:
        """Start the conversation of every unfinished run; failures are retried with the next check."""
        if isinstance(message, CheckNow):
            self.died = True
            context.set_timer("moved", GATHER_S, _Check())
            return
        context.set_timer("look", EVERY_S if self.node is None else LOOK_S, _Check())
        try:
            if relocated := self.registry.relocated:
                await self._concurrently(lambda moved: self.registry.resubscribe(*moved), relocated[:BATCH])
                if 0 < len(self.registry.relocated) < len(relocated):  # before all else: their clients see a pause
                    context.ref.tell(_Check())
                    return
            if missed := self.registry.missed:
                await self._concurrently(self.registry.subscribe_missed, missed[:BATCH])
                if 0 < len(self.registry.missed) < len(missed):  # others wait, and the store answers
                    context.set_timer("look", GATHER_S, _Check())
            if self.died and self.node is not None and self.node.joined:
                orphaned = list(await self.node.orphans(own=False))
                random.shuffle(orphaned)
                await self._concurrently(self._wake, orphaned[:BATCH])
                self.died = bool(orphaned)
                if len(orphaned) > BATCH:
                    context.set_timer("look", GATHER_S, _Check())
            if trio.current_time() >= self.checked_at + EVERY_S and not self._quiet:
                self.checked_at = trio.current_time()
                starts = self.registry.starts if self.node is None and self.registry.empty else None
                runs = await self._unfinished()
                if await self._wake_some(runs):
                    self.checked_at += MORE_S - EVERY_S
                    context.set_timer("more", MORE_S, _Check())
                effects = await self._open_effects()
                await self._in_batches(self._continue_effects, effects)
                lost = await self.registry.dead_with_subscribers()
                await self._in_batches(lambda key: self.registry.get_or_start(*key), lost)
                self.quiet_since = None if runs or effects else starts
        except StorageError as error:
            log.warning("recovery.postponed", extra={"reason": str(error), "count": 1, "run_ids": []})

    @property
    def _quiet(self) -> bool:
        """Whether no run can be unfinished: this is the only node, and no conversation has started since none was."""
        return self.node is None and self.quiet_since == self.registry.starts

    async def _unfinished(self) -> Sequence[RunRecord]:
        if self.node is None:
            return await self.store.unfinished_runs()
        return await self.node.orphans(own=True)

    async def _open_effects(self) -> Sequence[RunRecord]:
        if self.node is None:
            return await self.store.read(queries.open_effects, None, None, unfinished(self.registry.parts))
        return await self.node.orphaned_effects(unfinished(self.registry.parts))

    async def _wake_some(self, runs: Sequence[RunRecord]) -> bool:
        """Wake the conversations of the oldest unfinished runs, as many as may wait. Return True if some are left. A
        live conversation is sent all its runs, at once and without a task: it should know them, and has work."""
        asleep = [run for run in runs if not self.registry.remind(run.owner, run.thread_id, run.id)]
        queued, woken = self.limiter.queue.by_owner(), list[RunRecord]()
        room = QUEUED - queued.total()
        for run in asleep:
            if len(woken) >= room:
                break
            if queued[run.owner] < QUEUED_OF_OWNER:
                queued[run.owner] += 1
                woken.append(run)
        await self._in_batches(self._wake, woken)
        return len(woken) < len(asleep)

    async def _in_batches(self, see_to: Callable[[T], Awaitable[object]], items: Sequence[T]) -> None:
        for first in range(0, len(items), BATCH):
            await self._concurrently(see_to, items[first : first + BATCH])

    async def _concurrently(self, see_to: Callable[[T], Awaitable[object]], batch: Iterable[T]) -> None:
        """Handle a batch. What fails is found again by the next check; all that fail for one reason are one record."""
        failed: dict[str, list[str]] = {}

        async def attempt(item: T) -> None:
            try:
                await see_to(item)
            except (StorageError, ActorError) as error:
                failed.setdefault(str(error), []).append(item.id if isinstance(item, RunRecord) else "")

        with trio.move_on_after(LONGEST_S):
            async with trio.open_nursery() as nursery:
                for item in batch:
                    nursery.start_soon(attempt, item)
        for reason, names in failed.items():
            extra = {"reason": reason, "count": len(names), "run_ids": [name for name in names if name]}
            log.warning("recovery.postponed", extra=extra)

    async def _wake(self, run: RunRecord) -> None:
        await self.registry.ensure_running(run.owner, run.thread_id, run.id)

    async def _continue_effects(self, run: RunRecord) -> None:
        entry = await self.registry.get_or_start(run.owner, run.thread_id)
        if not entry.is_proxy:
            entry.ref.try_tell(EnsureEffects(run.id))
