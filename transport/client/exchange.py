"""The events of one message, to the end of its run; and the bounded queue through which a caller gets events."""

from collections import deque
from collections.abc import Callable
from typing import Final

import trio

from transport.client.decoder import Received
from transport.wire.errors import TransportError
from transport.wire.events import Resync

MAX_EVENTS: Final = 1000  # in one inbox, as MAX_BYTES: a producer then waits, or the oldest events are dropped
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


class Exchange:
    """Iterate over it for the events of one message, the last of which ends its run, refuses it, or is a `resync`.

    Made by `Client.exchange`. It receives the events after that: all of them, if it is made right after the message is
    sent. If a message has several runs, it follows the first one that an event names. It need not be closed. Iterating
    raises the errors of iterating over the client, and ends when the client is closed.
    """

    def __init__(
        self, message_id: str, run_id: str | None, on_taken: Callable[[Received], None], failure: TransportError | None
    ) -> None:
        self.message_id = message_id
        self.run_id = run_id
        self.thread_id: str | None = None
        self.failure = failure
        self._on_taken = on_taken
        self._inbox = Inbox()
        self._ended = False

    def __aiter__(self) -> "Exchange":
        return self

    async def __anext__(self) -> Received:
        event = await self._inbox.get()
        if event is None:
            if self.failure is not None and not self._ended:
                raise self.failure
            raise StopAsyncIteration
        self._on_taken(event)
        return event

    async def put_event(self, event: Received, size: int) -> None:
        """Queue an event if it belongs to this message."""
        if self._belongs(event):
            self.thread_id = event.thread_id or self.thread_id
            self.run_id = event.run_id or self.run_id
            self._ended = event.terminal or event.refusal or isinstance(event.event, Resync)
            await self._inbox.put(event, size)
            if self._ended:
                self._inbox.close()

    def end(self, failure: TransportError | None) -> None:
        """End the iteration: the client has ended."""
        self.failure = failure
        self._inbox.close()

    def _belongs(self, event: Received) -> bool:
        if isinstance(event.event, Resync):
            return self.thread_id is not None and event.thread_id == self.thread_id
        matches = event.message_id == self.message_id or getattr(event.event, "message_id", None) == self.message_id
        return matches and (self.run_id is None or event.run_id in (None, self.run_id))
