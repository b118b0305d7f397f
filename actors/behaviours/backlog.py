"""Messages that wait for a token: first in, first out for each key, and the oldest first among the ready keys.

Pure: messages and `now` in, messages out. The caller keeps the bound: see `full`.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from itertools import count
from typing import Generic, TypeVar

from .bucket import Buckets

M = TypeVar("M")

SPARE = 64
"""So many places more than twice the lines there may be before those of messages taken out of turn are cleared away."""


class Backlog(Generic[M]):
    """At most `bound` waiting messages. One for which `wanted` returns false is skipped and takes no token."""

    def __init__(self, buckets: Buckets, bound: int, wanted: Callable[[M], bool]) -> None:
        self._buckets = buckets
        self._bound = bound
        self._wanted = wanted
        self._numbers = count()
        self._clear()

    def _clear(self) -> None:
        self._items: dict[int, tuple[Hashable, M]] = {}
        self._lines: dict[Hashable, deque[int]] = {}
        # The first of each line stands in one of these two; a message that was taken out of turn is skipped.
        self._ready: list[tuple[int, Hashable]] = []
        self._later: list[tuple[float, int, Hashable]] = []

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[M]:
        return iter([message for _, message in self._items.values()])

    @property
    def full(self) -> bool:
        """Whether there is no room for one more message."""
        return len(self._items) >= self._bound

    def add(self, key: Hashable, message: M) -> None:
        """Append a message."""
        number = next(self._numbers)
        self._items[number] = (key, message)
        line = self._lines.setdefault(key, deque())
        line.append(number)
        if len(line) == 1:
            heapq.heappush(self._ready, (number, key))

    def take(self, now: float) -> M | None:
        """Remove and return the oldest message whose key has a token, and take that; None when there is none."""
        while self._later and self._later[0][0] <= now:
            _, number, key = heapq.heappop(self._later)
            heapq.heappush(self._ready, (number, key))
        while self._ready:
            number, key = heapq.heappop(self._ready)
            if number not in self._items:
                continue
            if not self._wanted(self._items[number][1]):
                self._remove(number)
                continue
            ready_at = self._buckets.ready_at(key, now)
            if ready_at <= now:
                self._buckets.take(key, now)
                return self._remove(number)
            heapq.heappush(self._later, (ready_at, number, key))
        return None

    def due_at(self) -> float:
        """When `take`, which returned None, may return something again; infinite when nothing waits."""
        return self._later[0][0] if self._later else math.inf

    def take_oldest(self) -> M:
        """Remove and return the message that waited longest, token or not. Raises `StopIteration` when none waits."""
        message = self._remove(next(iter(self._items)))
        if len(self._ready) + len(self._later) > 2 * len(self._lines) + SPARE:
            self._ready, self._later = [(line[0], key) for key, line in self._lines.items()], []
            heapq.heapify(self._ready)
        return message

    def forget_unwanted(self) -> None:
        """Remove the messages that are not wanted any more."""
        kept = [(key, message) for key, message in self._items.values() if self._wanted(message)]
        self._clear()
        for key, message in kept:
            self.add(key, message)

    def _remove(self, number: int) -> M:
        """Remove and return the first message of a key."""
        key, message = self._items.pop(number)
        line = self._lines[key]
        line.popleft()
        if line:
            heapq.heappush(self._ready, (line[0], key))
        else:
            del self._lines[key]
        return message
