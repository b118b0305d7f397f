"""The frame of actors that look at the database again and again, and do what is due."""

import logging
from collections.abc import Callable
from typing import Final

import trio

from actors import Actor, ActorRef, Context
from understudy.storage.errors import StorageError
from understudy.storage.store import Store
from understudy.storage.write import Write

log = logging.getLogger(__name__)

RESTS: Final = 19.0
"""Pause after each part, as a multiple of its duration: deletion takes up to a twentieth of the time."""


def until_next(every_s: float) -> float:
    """Return the seconds until the next multiple of `every_s`: reads of those that poll then share a transaction."""
    return every_s - trio.current_time() % every_s


class Poll:
    """Tells a poller to poll now."""


def poll_now(poller: ActorRef | None) -> None:
    """Have a poller, if there is one now, poll at once."""
    if poller is not None:
        poller.try_tell(Poll())


class Poller(Actor):
    """Polls at its start, as the server may have been down, and again after as long as each poll says."""

    async def on_start(self, context: Context) -> None:
        """Poll at once."""
        context.ref.tell(Poll())

    async def receive(self, message: object, context: Context) -> None:
        """Poll, and set the timer for the next poll."""
        if not isinstance(message, Poll):
            context.unhandled(message)
            return
        context.set_timer("poll", await self.poll(), Poll())

    async def poll(self) -> float:
        """Do what is due. Return the seconds until the next poll."""
        raise NotImplementedError


class Expiry(Poller):
    """Deletes what is old, every `every_s` seconds, on each node, as every part can be repeated.

    Each of `writes` makes the write of a part, which is committed until it finds nothing more; `count` is called with
    each answer.
    """

    def __init__(
        self,
        store: Store,
        *writes: Callable[[], Write],
        every_s: float = 3600.0,
        count: Callable[[int], object] = lambda _: None,
    ) -> None:
        self.store = store
        self.writes = writes
        self.every_s = every_s
        self.count = count

    async def poll(self) -> float:
        """Delete what is old now; while the database is away it stays."""
        try:
            for write in self.writes:
                began = trio.current_time()
                while gone := await self.store.commit(write()):
                    self.count(gone)
                    await rest(began)
                    began = trio.current_time()
        except StorageError as error:
            log.warning("expiry.postponed", extra={"reason": str(error)})
        return self.every_s


async def rest(began: float) -> None:
    """Leave time to other writes after a part of a deletion that began then."""
    await trio.sleep(RESTS * (trio.current_time() - began))
