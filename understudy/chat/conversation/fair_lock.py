"""A lock that one task holds at a time, in the order in which they came.

Unlike `trio.Lock` it lets a task through without a step of the event loop if nobody else has it.
"""

from types import TracebackType

import trio
from attrs import define, field


@define(eq=False)
class FairLock:
    """The lock, held within `async with`."""

    _taken: bool = field(default=False, init=False)
    _waiting: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot, init=False)

    async def __aenter__(self) -> None:
        if self._taken:
            await self._waiting.park()  # whoever leaves hands it over
        self._taken = True

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._waiting:
            self._waiting.unpark()
        else:
            self._taken = False
