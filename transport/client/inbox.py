"""Events that wait for the caller: bounded in number and in bytes, and filled in step with their taking."""

from collections import deque
from typing import Final

import trio

from transport.client.decoder import Received

MAX_EVENTS: Final = 1000
MAX_BYTES: Final = 32 * 1024 * 1024


class Inbox:
    """A queue between one who puts and any who take. One event larger than all the room still fits when it is empty."""

    def __init__(self, max_events: int = MAX_EVENTS, max_bytes: int = MAX_BYTES) -> None:
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._bytes = 0
        self._waiting: deque[tuple[Received, int]] = deque()
        self._open = True
        self._overwrites = False
        self._getters = trio.lowlevel.ParkingLot()
        self._putters = trio.lowlevel.ParkingLot()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def open(self) -> bool:
        """Whether anything may still be put."""
        return self._open

    def fits(self, size: int) -> bool:
        """Whether there is room for an event of so many bytes."""
        room = len(self._waiting) < self._max_events and self._bytes + size <= self._max_bytes
        return room or not self._waiting

    def overwrite(self, yes: bool) -> None:
        """Whether the oldest give way when there is no room, as nobody takes them. At first they do not."""
        self._overwrites = yes
        self._putters.unpark_all()

    async def put(self, event: Received, size: int) -> None:
        """Put, after waiting for room. Nothing is put into an inbox that is closed."""
        while self._open and not self.fits(size) and not self._overwrites:
            await self._putters.park()
        while self._open and not self.fits(size):
            self._pop()
        if self._open:
            self._waiting.append((event, size))
            self._bytes += size
            self._getters.unpark()

    async def get(self) -> Received | None:
        """The next event; None when the inbox is closed and empty."""
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._waiting:
            await trio.lowlevel.cancel_shielded_checkpoint()
        while not self._waiting:
            if not self._open:
                return None
            await self._getters.park()
        return self._pop()

    def _pop(self) -> Received:
        event, size = self._waiting.popleft()
        self._bytes -= size
        self._putters.unpark()
        return event

    def close(self) -> None:
        """Take nothing more. What is there can still be got."""
        self._open = False
        self._getters.unpark_all()
        self._putters.unpark_all()
