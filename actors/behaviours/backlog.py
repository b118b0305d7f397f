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
"""Heap entries, beyond two for each key, from which on `take_oldest` removes those of messages it has taken."""


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
        self._queues: dict[Hashable, deque[int]] = {}
        # Heaps with an entry for the first message of each key; entries of messages taken by `take_oldest` are skipped.
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
        queue = self._queues.setdefault(key, deque())
        queue.append(number)
        if len(queue) == 1:
            heapq.heappush(self._ready, (number, key))

    def take(self, now: float) -> M | None:
        """Remove and return the oldest message whose key has a token, and take the token; None when there is none."""
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
        """Return when `take`, which returned None, may return a message again; infinite when none waits."""
        return self._later[0][0] if self._later else math.inf

    def take_oldest(self) -> M:
        """Remove and return the message that waited longest, token or not. Raises `StopIteration` when none waits."""
        message = self._remove(next(iter(self._items)))
        if len(self._ready) + len(self._later) > 2 * len(self._queues) + SPARE:
            self._ready, self._later = [(queue[0], key) for key, queue in self._queues.items()], []
            heapq.heapify(self._ready)
        return message

    def forget_unwanted(self) -> None:
        """Remove the messages that are not wanted any more."""
        remaining = [(key, message) for key, message in self._items.values() if self._wanted(message)]
        self._clear()
        for key, message in remaining:
            self.add(key, message)

    def _remove(self, number: int) -> M:
        """Remove and return the first message of a key."""
        key, message = self._items.pop(number)
        queue = self._queues[key]
        queue.popleft()
        if queue:
            heapq.heappush(self._ready, (queue[0], key))
        else:
            del self._queues[key]
        return message
