"""One task for all timers of a system: deadlines of asks, delays of restarts, graces of stops, timers of actors.

A trio cancel scope for each ask costs more than the ask itself; an entry in a heap costs little, and asks with about
the same deadline share one.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from itertools import count
from typing import Protocol

import trio

ASK_GRAIN_S = 1 / 64
"""Deadlines of asks are rounded up to multiples of this, in seconds, so that a flood of asks shares a few entries."""
ASK_FINE_S = 5.0
"""Seconds above which a timeout's grain grows with the timeout, so that a steady stream of asks with long timeouts
keeps no more entries than one with short ones: some 320 to 640."""
_COMPACT_ABOVE = 64
"""Cancelled entries are removed if there are more than this many, and they are more than half of all."""


class Timer:
    """One entry: calls `action` once at `at` (seconds on trio's clock) unless cancelled before.

    A shared entry has a `group`, and calls nothing if all of that have been removed.
    """

    __slots__ = ("_timers", "action", "at", "group")

    def __init__(self, at: float, action: Callable[[], None], timers: Timers) -> None:
        self.at: float = at
        self.action: Callable[[], None] | None = action
        self.group: dict[Expiring, None] | None = None
        self._timers = timers

    def cancel(self) -> None:
        """Cancel the timer; harmless if it has fired or was cancelled."""
        if self.action is not None:
            self.action = None
            timers = self._timers
            timers._cancelled += 1
            if timers._cancelled > _COMPACT_ABOVE and timers._cancelled * 2 > len(timers._heap):
                timers._heap = [entry for entry in timers._heap if entry[2].action is not None]
                heapq.heapify(timers._heap)
                timers._cancelled = 0


class Expiring(Protocol):
    """An object with a shared deadline."""

    def expire(self) -> None:
        """Handle the passing of the deadline; called once."""


class Timers:
    """All timers of one actor system. `run` is the task that fires them; the rest is synchronous."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._numbers = count()
        self._cancelled = 0
        self._scope: trio.CancelScope | None = None
        self._shared: dict[float, dict[Expiring, None]] = {}
        self.now: Callable[[], float] = trio.lowlevel.current_clock().current_time
        """Seconds on trio's clock, virtual or real."""

    def __len__(self) -> int:
        return len(self._heap) - self._cancelled

    def after(self, delay_s: float, action: Callable[[], None]) -> Timer:
        """Call `action`, which must not block or raise, after `delay_s` seconds."""
        if delay_s != delay_s:
            raise ValueError("a delay must be a number of seconds")
        return self._add(self.now() + delay_s, action)

    def share(self, timeout_s: float, entry: Expiring) -> dict[Expiring, None]:
        """Expire `entry` after `timeout_s` seconds: never early, and late by up to 16 ms or 0.6 percent of it.

        Remove it from the result to cancel that.
        """
        grain = ASK_GRAIN_S
        if timeout_s > ASK_FINE_S:
            grain *= 2 ** math.ceil(math.log2(timeout_s / ASK_FINE_S))
        return self.share_at(math.ceil((self.now() + timeout_s) / grain) * grain, entry)

    def share_at(self, at: float, entry: Expiring) -> dict[Expiring, None]:
        """Expire `entry` at `at`, in seconds on trio's clock; a moment that others have too costs no timer of its own.

        Remove it from the result to cancel that.
        """
        group = self._shared.get(at)
        if group is None:
            group = self._shared[at] = {}
            self._add(at, lambda: self._expire(at)).group = group
        group[entry] = None
        return group

    def pop_shared(self) -> list[Expiring]:
        """Remove and return all entries that share deadlines."""
        groups, self._shared = self._shared, {}
        return [entry for group in groups.values() for entry in group]

    async def run(self) -> None:
        """Fire due timers until cancelled.

        Entries without effect go as soon as they are the first: nearly all asks are answered long before their
        deadline, and to wake for each would cost more than the ask.
        """
        while True:
            now = self.now()
            while self._heap:
                at, _, timer = self._heap[0]
                if at > now and timer.action is not None and (timer.group is None or timer.group):
                    break
                heapq.heappop(self._heap)
                action, timer.action = timer.action, None
                if action is None:
                    self._cancelled -= 1
                else:
                    action()
            with trio.CancelScope(deadline=self._heap[0][0] if self._heap else math.inf) as self._scope:
                await trio.sleep_forever()

    def _add(self, at: float, action: Callable[[], None]) -> Timer:
        timer = Timer(at, action, self)
        heapq.heappush(self._heap, (at, next(self._numbers), timer))
        if self._scope is not None and at < self._scope.deadline:
            self._scope.deadline = at
        return timer

    def _expire(self, at: float) -> None:
        for entry in tuple(self._shared.pop(at)):
            entry.expire()
