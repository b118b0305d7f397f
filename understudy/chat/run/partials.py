"""What a running tool call yields, published in batches; the tool waits if it is faster than that."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import trio
from attrs import define, field

PUBLISH_S: Final = 0.1
"""Seconds between two batches of a call."""
MAX_WAITING: Final = 16
"""Items of one batch. With `understudy.tools.result.MAX_PARTIAL_BYTES` for each, an event has at most 64 KiB."""


@define(eq=False)
class Partials:
    """The items of one call that wait for their publication. `publish(offset, items)` filters and sends them.

    `start_soon` starts the task that publishes, with the first item: most calls yield none.
    """

    publish: Callable[[int, list[Any]], Awaitable[None]]
    start_soon: Callable[[Callable[[], Awaitable[None]]], None] | None = None
    _waiting: list[Any] = field(factory=list, init=False)
    _offset: int = field(default=0, init=False)
    _news: trio.Event = field(factory=trio.Event, init=False)
    _room: trio.Event = field(factory=trio.Event, init=False)

    async def add(self, item: Any) -> None:
        """Add an item, once there is room for it."""
        while len(self._waiting) >= MAX_WAITING:
            await self._room.wait()
        self._waiting.append(item)
        if self.start_soon is not None:
            start_soon, self.start_soon = self.start_soon, None
            start_soon(self._publish_forever)
        self._news.set()

    async def _publish_forever(self) -> None:
        """Publish the items as they come, at most one batch each `PUBLISH_S`."""
        while True:
            await self._news.wait()
            items, self._waiting = self._waiting, []
            self._room.set()
            self._news, self._room = trio.Event(), trio.Event()
            await self.publish(self._offset, items)
            self._offset += len(items)
            await trio.sleep(PUBLISH_S)
