"""What is known here of the log of a thread that another node owns: what is shown of it, and what is too late. Pure.

1. Numbered events come out in order, none twice. A missing one is not waited for: subscribers that get the later ones
   read it from the log.
2. An ephemeral event comes out if the numbered events that preceded it have: they are read first. Otherwise it is
   dropped.
3. An ephemeral event that is late comes out all the same: the offset of a text delta says where it belongs. Late text
   does not if its run has ended, or the log was read since it was sent, as events were lost: a client that came back
   after the end has no record of the run, and would show it as new text.

A gap in streamed text is detected by each subscriber (`transport.outbox.delivery`), which then requests a snapshot.
"""

from collections.abc import Sequence
from typing import Final

from attrs import define, field

from transport.wire.events import PartialResult
from understudy.wire.events import TERMINAL, Envelope

ENDED: Final = 64
"""Runs whose end is remembered: text is late by seconds at most, and a thread has one run at a time."""


@define
class FollowedLog:
    """The log of one thread. `last_seq`: the last event that came out, or that the log is known to have."""

    last_seq: int
    _ended: dict[str | None, None] = field(factory=dict, init=False, repr=False)
    _read_to: int = field(default=0, init=False)
    """The last event that subscribers were sent to the log for: it did not come from the other node, or not yet."""

    def add_numbered(self, first: int, envelopes: Sequence[Envelope]) -> Sequence[Envelope]:
        """Add the events from number `first` on. Return those to publish now."""
        for envelope in envelopes:
            if type(envelope.event) in TERMINAL:
                self._ended[envelope.run_id] = None
                if len(self._ended) > ENDED:
                    del self._ended[next(iter(self._ended))]
        fresh = envelopes[max(0, self.last_seq + 1 - first) :]
        self.last_seq = max(self.last_seq, first + len(envelopes) - 1)
        return fresh

    def add_ephemeral(self, after: int, envelopes: Sequence[Envelope]) -> Sequence[Envelope]:
        """Add ephemeral events that were sent after event `after`. Return those to publish now."""
        return [] if after > self.last_seq else [each for each in envelopes if not self._is_stale(after, each)]

    def advance(self, head: int) -> bool:
        """Record that the log extends to `head`. Return True if that is new: subscribers must catch up from the log."""
        if head <= self.last_seq:
            return False
        self.last_seq = self._read_to = head
        return True

    def _is_stale(self, after: int, envelope: Envelope) -> bool:
        """Return whether this is text of a run that has ended, or may have."""
        return isinstance(envelope.event, PartialResult) and (after < self._read_to or envelope.run_id in self._ended)
