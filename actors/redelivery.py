"""Messages that an actor handles before its mailbox: stashed ones, and those that an incarnation crashed on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import count
from operator import attrgetter
from typing import Any

_ages = count()
by_age: Callable[[Any], Any] = attrgetter("age")
"""The order of redelivery."""


class StashEntry:
    """A stashed or redelivered message with its context values; `lasting` if it is kept for the next incarnation.

    `history` has the errors of the incarnations that crashed on it.
    """

    __slots__ = ("age", "history", "lasting", "message", "stash", "values")

    def __init__(self, message: object, values: tuple[Any, ...], *, lasting: bool = True) -> None:
        self.message: object = message
        self.values: tuple[Any, ...] = values
        self.lasting: bool = lasting
        self.age: int = next(_ages)
        """The entry's position in the order of redelivery: the lower, the sooner."""
        self.history: tuple[str, ...] = ()
        self.stash: StashQueue | None = None
        """The stash that holds the entry or held it last; None if that belonged to an earlier incarnation."""


class StashQueue(deque[StashEntry]):
    """Stashed messages, the oldest first."""

    def merge(self, entries: Sequence[StashEntry]) -> None:
        """Add a non-empty, age-sorted batch of entries, keeping the queue sorted by age."""
        if self and entries[0].age < self[-1].age:
            entries = sorted((*self, *entries), key=by_age)
            self.clear()
        self.extend(entries)


class RedeliveryQueue(StashQueue):
    """The unstashed and redelivered messages of an actor, the oldest first."""

    current: StashEntry | None = None
    """The entry of the message that is being handled, if it came from here."""

    def take_oldest(self) -> StashEntry:
        """Remove and return the oldest entry, and make it `current`."""
        self.current = self.popleft()
        return self.current
