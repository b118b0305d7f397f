"""How a thread's events are put together that come from another node by two ways: numbered ones, and passing ones.

1. Numbered events come out in order, none twice. One that lacks is not waited for: who is shown the later ones reads
   it from the log.
2. A passing event comes out behind all numbered ones it came after. It waits for them, and not for long.
3. A passing event that comes late comes out even so: text says by its offset where it belongs.

Pure. What lacks of a running text is seen by whoever is shown it (`transport.outbox.delivery`), and asked for there.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

from attrs import define, field

from transport.wire.events import Envelope

HELD: Final = 256
"""Passing events that wait at a time; a run makes about fifty a second, and what they wait for takes milliseconds."""


@define
class ReorderBuffer:
    """One thread's two ways. `head` is the number of the last event that came out, or that the log is known to have."""

    last_seq: int
    _held: deque[tuple[int, Envelope]] = field(factory=deque, init=False, repr=False)

    def __len__(self) -> int:
        """How many passing events wait."""
        return len(self._held)

    def add_numbered(self, first: int, envelopes: Sequence[Envelope]) -> list[Envelope]:
        """Take events `first` and on; returns what is to be shown now, passing ones that waited included."""
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
        """Take events without a number that came after that of number `after`; returns what is to be shown now."""
        if after <= self.last_seq and not self._held:
            return list(envelopes)
        self._held.extend((after, envelope) for envelope in envelopes)
        while len(self._held) > HELD:
            self._held.popleft()
        return self._pop_released(self.last_seq)

    def advance(self, head: int) -> bool:
        """The log reaches at least so far; returns whether that is news: who is shown the thread must read it then."""
        if head <= self.last_seq:
            return False
        self.last_seq = head
        return True

    def release(self) -> list[Envelope]:
        """Wait no longer: what waited is to be shown now."""
        return self._pop_released(None)

    def _pop_released(self, upto: int | None) -> list[Envelope]:
        """Those at the front that come after no later event than this; all of them for None."""
        released = []
        while self._held and (upto is None or self._held[0][0] <= upto):
            released.append(self._held.popleft()[1])
        return released
