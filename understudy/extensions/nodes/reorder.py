"""Merges the two flows of a thread's events from another node: numbered (durable) and ephemeral ones. Pure.

1. Numbered events come out in order, none twice. A missing one is not waited for: subscribers that get the later ones
   read it from the log.
2. An ephemeral event comes out after every numbered event that preceded it. It is held for these, but not for long.
3. An ephemeral event that is late comes out all the same: the offset of a text delta says where it belongs. Late text
   does not if its run has ended, or the log was read since it was sent, as events were lost: a client that came back
   after the end has no record of the run, and would show it as new text.

A gap in streamed text is detected by each subscriber (`transport.outbox.delivery`), which then requests a snapshot.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

from attrs import define, field

from transport.wire.events import PartialResult
from understudy.wire.events import TERMINAL, Envelope

HELD: Final = 256
"""Limit of held ephemeral events; the oldest are dropped first. A run makes about fifty a second, and the numbered
events they wait for arrive within milliseconds."""
ENDED: Final = 64
"""Runs whose end is remembered: text is late by seconds at most, and a thread has one run at a time."""


@define
class ReorderBuffer:
    """The reorder buffer of one thread. `last_seq`: the last event that came out, or that the log is known to have."""

    last_seq: int
    _held: deque[tuple[int, Envelope]] = field(factory=deque, init=False, repr=False)
    _ended: dict[str | None, None] = field(factory=dict, init=False, repr=False)
    _read_to: int = field(default=0, init=False)
    """The last event that subscribers were sent to the log for: it did not come from the other node, or not yet."""

    def __len__(self) -> int:
        """Return the number of held ephemeral events."""
        return len(self._held)

    def add_numbered(self, first: int, envelopes: Sequence[Envelope]) -> list[Envelope]:
        """Add the events from number `first` on. Return the events to publish now, including held ephemeral ones."""
        known = max(0, self.last_seq + 1 - first)
        self._note_ends(envelopes[:known])
        fresh = envelopes[known:]
        if not fresh:
            return []
        last = first + len(envelopes) - 1
        shown: list[Envelope] = []
        for number, envelope in enumerate(fresh, last + 1 - len(fresh)):
            shown += self._pop_released(number - 1)
            shown.append(envelope)
            self._note_ends([envelope])
        self.last_seq = last
        return shown + self._pop_released(last)

    def add_ephemeral(self, after: int, envelopes: Sequence[Envelope]) -> list[Envelope]:
        """Add ephemeral events that were sent after event `after`. Return the events to publish now."""
        if after <= self.last_seq and not self._held:
            return [each for each in envelopes if not self._is_stale(after, each)]
        self._held.extend((after, envelope) for envelope in envelopes)
        while len(self._held) > HELD:
            self._held.popleft()
        return self._pop_released(self.last_seq)

    def advance(self, head: int) -> bool:
        """Record that the log extends to `head`. Return True if that is new: subscribers must catch up from the log."""
        if head <= self.last_seq:
            return False
        self.last_seq = self._read_to = head
        return True

    def release(self) -> list[Envelope]:
        """Return all held events; they are not held any longer."""
        return self._pop_released(None)

    def _pop_released(self, upto: int | None) -> list[Envelope]:
        """Pop the held events that were sent after event `upto` or an earlier one; all if None."""
        released = []
        while self._held and (upto is None or self._held[0][0] <= upto):
            after, envelope = self._held.popleft()
            if not self._is_stale(after, envelope):
                released.append(envelope)
        return released

    def _note_ends(self, envelopes: Sequence[Envelope]) -> None:
        for envelope in envelopes:
            if type(envelope.event) in TERMINAL:
                self._ended[envelope.run_id] = None
                if len(self._ended) > ENDED:
                    del self._ended[next(iter(self._ended))]

    def _is_stale(self, after: int, envelope: Envelope) -> bool:
        """Return whether this is text of a run that has ended, or may have."""
        return isinstance(envelope.event, PartialResult) and (after < self._read_to or envelope.run_id in self._ended)
