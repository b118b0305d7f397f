"""The actor that removes what agents remembered and whose time is over. Until then nobody sees it any more."""

import logging
from collections.abc import Callable
from typing import Final

from actors import Actor, Context
from understudy.storage.errors import StorageUnavailable
from understudy.storage.store import Store

log = logging.getLogger(__name__)
EVERY_S: Final = 60.0


class _Now:
    """It is time to look."""


class Forgetting(Actor):
    """Looks once a minute; `clock` gives Unix seconds. With several nodes each of them does, and finds little."""

    def __init__(self, store: Store, clock: Callable[[], float], every_s: float = EVERY_S) -> None:
        self.store = store
        self.clock = clock
        self.every_s = every_s

    async def on_start(self, context: Context) -> None:
        """Look at once: the server may have been away for long."""
        context.ref.tell(_Now())

    async def receive(self, message: object, context: Context) -> None:
        """Remove what has expired; while the database is away it stays."""
        match message:
            case _Now():
                try:
                    await self.store.forget_expired(self.clock())
                except StorageUnavailable as error:
                    log.debug("contexts.not_removed", extra={"reason": error.reason})
                context.set_timer("look", self.every_s, _Now())
            case _:
                context.unhandled(message)
