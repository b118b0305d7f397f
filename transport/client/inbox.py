"""A queue of events for the caller, bounded in number and bytes; putting waits for room."""

from collections import deque
from typing import Final

import trio

from transport.client.decoder import Received

MAX_EVENTS: Final = 1000
MAX_BYTES: Final = 32 * 1024 * 1024


class Inbox:
    """A bounded queue with one producer and any number of consumers. An empty queue accepts an event of any size."""

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
        """Whether events may still be put."""
        return self._open

    def fits(self, size: int) -> bool:
        """Return whether there is room for an event of `size` bytes."""
        room = len(self._waiting) < self._max_events and self._bytes + size <= self._max_bytes
        return room or not self._waiting

    def overwrite(self, yes: bool) -> None:
        """Set whether a full queue drops its oldest events instead of waiting. Initially it waits."""
        self._overwrites = yes
        self._putters.unpark_all()

    async def put(self, event: Received, size: int) -> None:
        """Put an event after waiting for room. No-op once closed."""
        while self._open and not self.fits(size) and not self._overwrites:
            await self._putters.park()
        while self._open and not self.fits(size):
            self._pop()
        if self._open:
            self._waiting.append((event, size))
            self._bytes += size
            self._getters.unpark()

    async def get(self) -> Received | None:
        """Wait for the next event. Return None once the queue is closed and empty."""
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
        """Accept no more events. Queued ones can still be taken."""
        self._open = False
        self._getters.unpark_all()
        self._putters.unpark_all()
