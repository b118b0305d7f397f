"""What a benchmark of agents has done so far: told to stderr while it works, and bounded in time."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import trio
from attrs import define, field, frozen

T = TypeVar("T")

EVERY_S: Final = 10.0
"""Seconds between two lines on stderr."""


@frozen
class Extent:
    """How much is measured: `small`, as the tests do, and for how many seconds at most something new is begun."""

    small: bool = False
    limit_s: float = 1800.0


@define
class Progress:
    """`done` of `wanted` of a benchmark called `name`, which begins nothing new after `limit_s` seconds.

    `details` returns what else is told. A benchmark that its limit has ended early shows so by `count`.
    """

    name: str
    wanted: int
    limit_s: float
    details: Callable[[], str] = lambda: ""
    done: int = field(default=0, init=False)
    began: float = field(factory=time.monotonic, init=False)
    _told: float = field(factory=time.monotonic, init=False)

    def over(self, part: float = 1.0) -> bool:
        """Return whether the limit has passed, or this part of it."""
        return time.monotonic() - self.began > part * self.limit_s

    def count(self, unit: str) -> str:
        """Return the unit of a figure that counts what is done, with what was wanted."""
        return f"{unit} of {self.wanted:,}"

    def tell(self) -> None:
        """Print what is done, unless that was printed less than EVERY_S ago."""
        now = time.monotonic()
        if now - self._told >= EVERY_S:
            self._told = now
            text = f"{self.name}: {self.done:,} of {self.wanted:,} after {now - self.began:.0f} s {self.details()}"
            print(text.rstrip(), file=sys.stderr, flush=True)

    @asynccontextmanager
    async def told(self) -> AsyncIterator[trio.Nursery]:
        """Print what is done every EVERY_S while the block runs. Its nursery is cancelled at the end of the block."""

        async def tell_forever() -> None:
            while True:
                await trio.sleep(EVERY_S / 10)
                self.tell()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(tell_forever)
            yield nursery
            nursery.cancel_scope.cancel()

    def each(self, of: Iterable[T]) -> Iterator[T]:
        """Yield each item, counted as done afterwards, until the limit has passed."""
        for item in of:
            if self.over():
                return
            yield item
            self.done += 1
            self.tell()
