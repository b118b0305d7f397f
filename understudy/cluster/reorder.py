"""Merges the two flows of a thread's events from another node: numbered (durable) and ephemeral ones. Pure.

1. Numbered events come out in order, none twice. A missing one is not waited for: subscribers that get the later ones
   read it from the log.
2. An ephemeral event comes out after every numbered event that preceded it. It is held for these, but not for long.
3. An ephemeral event that is late comes out all the same: the offset of a text delta says where it belongs.

A gap in streamed text is detected by each subscriber (`transport.outbox.delivery`), which then requests a snapshot.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

from attrs import define, field

from transport.wire.events import Envelope

HELD: Final = 256
"""Limit of held ephemeral events; the oldest are dropped first. A run makes about fifty a second, and the numbered
events they wait for arrive within milliseconds."""


@define
class ReorderBuffer:
    """The reorder buffer of one thread. `last_seq`: the last event that came out, or that the log is known to have."""

    last_seq: int
    _held: deque[tuple[int, Envelope]] = field(factory=deque, init=False, repr=False)

    def __len__(self) -> int:
        """Return the number of held ephemeral events."""
        return len(self._held)

    def add_numbered(self, first: int, envelopes: Sequence[Envelope]) -> list[Envelope]:
        """Add the events from number `first` on. Return the events to publish now, including held ephemeral ones."""
        fresh = list(envelopes[max(0, self.last_seq + 1 - first) :])
        if not fresh:
            return []
        last = first + len(envelopes) - 1
        shown: list[Envelope] = []
        for number, envelope in enumerate(fresh, last + 1 - len(fresh)):
            shown += self._pop_released(number - 1)
            shown.append(envelope)
        self.last_seq = last
        return shown + self._pop_released(last)

    def add_ephemeral(self, after: int, envelopes: Sequence[Envelope]) -> list[Envelope]:
        """Add ephemeral events that were sent after event `after`. Return the events to publish now."""
        if after <= self.last_seq and not self._held:
            return list(envelopes)
        self._held.extend((after, envelope) for envelope in envelopes)
        while len(self._held) > HELD:
            self._held.popleft()
        return self._pop_released(self.last_seq)

    def advance(self, head: int) -> bool:
        """Record that the log extends to `head`. Return True if that is new: subscribers must catch up from the log."""
        if head <= self.last_seq:
            return False
        self.last_seq = head
        return True

    def release(self) -> list[Envelope]:
        """Return all held events; they are not held any longer."""
        return self._pop_released(None)

    def _pop_released(self, upto: int | None) -> list[Envelope]:
        """Pop the held events that were sent after event `upto` or an earlier one; all if None."""
        released = []
        while self._held and (upto is None or self._held[0][0] <= upto):
            released.append(self._held.popleft()[1])
        return released
