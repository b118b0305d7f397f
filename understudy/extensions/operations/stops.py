"""The stop switch: stops of agents, tools and models are stored, and every node applies them.

1. A stop is committed before it is acknowledged. Other nodes learn of it by news, and by their next poll at the latest.
2. While the database is away, the last set that was read stays in force.
3. Reads and changes of the set hold one lock, so that a read which began before a change does not undo it.
"""

import logging
from functools import partial
from typing import Final

import trio
from attrs import define, field

from actors import Context
from understudy.chat.stops import Kind, StopInForce, Stops
from understudy.extensions.operations.storage import add_stop, drop_stop, stored_stops
from understudy.storage.errors import StorageUnavailable
from understudy.storage.polling import Poll, Poller, until_next
from understudy.storage.store import Store

log = logging.getLogger(__name__)

POLL_S: Final = 0.5
"""Seconds between two polls of the database: news may be lost, and a stop must reach every node within a second."""
ALONE_S: Final = 60.0
"""Seconds between two polls on SQLite, where only this server writes: finds a stop whose commit seemed to fail."""


@define(eq=False)
class StopSwitch:
    """Applies the stored stops to this node's runs, by `stops`."""

    stops: Stops
    store: Store
    _lock: trio.Lock = field(factory=trio.Lock, init=False)

    async def change(self, kind: Kind, name: str, stop: StopInForce | None) -> int:
        """Commit a stop, or with None the end of one, and apply it here. Return the result of the write, which is false
        if there was no stop to end. Raises StorageUnavailable."""
        work = drop_stop(kind, name) if stop is None else add_stop(stop)
        async with self._lock:
            answer = await self.store.commit(work)
            changed = {(stop.kind, stop.name): stop for stop in self.stops.all()}
            changed.pop((kind, name), None)
            if stop is not None:
                changed[kind, name] = stop
            self.stops.apply(changed.values())
        return answer

    async def poll(self) -> None:
        """Read the stored stops, and apply them. Raises StorageUnavailable."""
        async with self._lock:
            self.stops.apply(await self.store.read(stored_stops))


class StopsPoller(Poller):
    """Polls every `every_s` for stops by other nodes."""

    def __init__(self, switch: StopSwitch, every_s: float) -> None:
        self.switch = switch
        self.every_s = every_s

    async def on_start(self, context: Context) -> None:
        """Poll at once, and whenever news arrive that another node has changed the stops."""
        self.switch.stops.wake = partial(context.ref.try_tell, Poll())
        await super().on_start(context)

    async def poll(self) -> float:
        """Apply the stored stops, if the database answers. Return the seconds until the next poll."""
        try:
            await self.switch.poll()
        except StorageUnavailable as error:
            log.debug("stops.not_read", extra={"reason": error.reason})
        return until_next(self.every_s)
