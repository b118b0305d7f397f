"""The recovery actor: finds runs that nobody works on, at the start and ever after, and wakes their conversations.

A conversation ends what it finds unfinished when it starts (`understudy.chat.conversation`), so starting it is enough;
one that is alive is told which run it should know.
"""

import logging

from actors import Actor, ActorError, Context
from understudy.chat.desk import Desk
from understudy.storage.errors import StorageError
from understudy.storage.store import Store

log = logging.getLogger(__name__)

EVERY_S = 2.0
"""How often the store is asked; one indexed query that finds nothing as long as nothing has died."""


class _Look:
    """Look now."""


class Recovery(Actor):
    """Makes sure that every accepted message ends, also when its server, or all conversations, died meanwhile."""

    def __init__(self, store: Store, desk: Desk) -> None:
        self.store = store
        self.desk = desk

    async def on_start(self, context: Context) -> None:
        """Look at once."""
        context.ref.tell(_Look())

    async def receive(self, message: object, context: Context) -> None:
        """Wake the conversation of every unfinished run; what fails is tried again the next time."""
        context.set_timer("look", EVERY_S, _Look())
        try:
            for run in await self.store.unfinished_runs():
                await self.desk.wake(run.owner, run.thread_id, run.id)
        except (StorageError, ActorError) as error:
            log.warning("recovery.postponed", extra={"reason": str(error)})
