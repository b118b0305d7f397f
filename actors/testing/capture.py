"""The base of all probes: keeps the received items in order until a test expects them.

1. Each item can be expected once; `seen` keeps all of them for reading.
2. Every wait ends: after its own timeout, or with the deadline that `within` shares, whichever is sooner.
3. An expectation that failed names what it wanted and what it got.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import trio
from attrs import define

T = TypeVar("T")
K = TypeVar("K")

EXPECT_TIMEOUT_S = 5.0
"""Default timeout of an expectation in seconds, that of an `ask`. It then raises `ProbeFailure`."""


@define
class ProbeFailure(AssertionError):
    """An expected item did not come, or an unexpected one came."""

    problem: str

    def __str__(self) -> str:
        return self.problem


class Capture(Generic[T]):
    """Received items, and expectations about them. All waits are on trio's clock."""

    def __init__(self) -> None:
        self._waiting: deque[T] = deque()
        self._seen: list[T] = []
        self._news = trio.Event()
        self._deadline = math.inf
        self._ignored: tuple[type[Any], ...] = ()
        self.last: T | None = None
        """What the last expectation returned."""

    @property
    def seen(self) -> tuple[T, ...]:
        """All items ever received, including ignored ones, the oldest first."""
        return tuple(self._seen)

    @property
    def waiting(self) -> tuple[T, ...]:
        """The items that were not expected yet."""
        return tuple(self._waiting)

    def heard(self, item: T) -> None:
        """Add one item, and wake the task that waits for it."""
        self._seen.append(item)
        if not isinstance(item, self._ignored):
            self._waiting.append(item)
        self._news.set()
        self._news = trio.Event()

    def ignore(self, *kinds: type[Any]) -> None:
        """Ignore items of these types from now on: no expectation gets them."""
        self._ignored += kinds

    def clear(self) -> None:
        """Drop the waiting items; `seen` keeps them."""
        self._waiting.clear()

    async def expect(
        self, kind: type[K], timeout_s: float | None = None, *, where: Callable[[K], bool] | None = None
    ) -> K:
        """Return the next item, which must be a `kind` for which `where` is true.

        Waits `timeout_s` seconds: by default what is left of `within`, else 5. Raises `ProbeFailure` if none
        or another one comes.
        """
        item = await self._next(kind.__name__, timeout_s)
        if not isinstance(item, kind):
            raise ProbeFailure(f"expected {kind.__name__}, got {item!r}")
        if where is not None and not where(item):
            raise ProbeFailure(f"expected another {kind.__name__}, got {item!r}")
        return item

    async def expect_equal(self, value: K, timeout_s: float | None = None) -> K:
        """Return the next item, which must equal `value`. Raises `ProbeFailure` if none or another one comes."""
        item: Any = await self._next(repr(value), timeout_s)
        if item != value:
            raise ProbeFailure(f"expected {value!r}, got {item!r}")
        equal: K = item
        return equal

    async def expect_all(self, *wanted: object, timeout_s: float | None = None) -> list[Any]:
        """Return the next items, one for each of `wanted`, in that order, whatever order they came in.

        A type matches its instances, any other value an equal item. The timeout is for all of them together. Raises
        `ProbeFailure` if an item matches none of `wanted`, or too few come.
        """
        got: list[T] = []
        with self.within(self._time_left(timeout_s)):
            for _ in wanted:
                got.append(await self._next(f"all of {_names(wanted)} (got {got!r})", None))
                if not any(_fits(item, got[-1]) for item in wanted):
                    raise ProbeFailure(f"expected one of {_names(wanted)}, got {got[-1]!r}")
        order = _assign(wanted, got)
        if order is None:
            raise ProbeFailure(f"expected {_names(wanted)} in any order, got {got!r}")
        return order

    async def fish(
        self, kind: type[K], timeout_s: float | None = None, *, where: Callable[[K], bool] | None = None
    ) -> K:
        """Return the next item that is a `kind` for which `where` is true, skipping others.

        Raises `ProbeFailure` if none comes in time.
        """
        with self.within(self._time_left(timeout_s)):
            while True:
                item = await self._next(kind.__name__, None)
                if isinstance(item, kind) and (where is None or where(item)):
                    return item

    async def take(self, count: int, timeout_s: float | None = None) -> list[T]:
        """Return the next `count` items of any type. Raises `ProbeFailure` if fewer come in time."""
        got: list[T] = []
        with self.within(self._time_left(timeout_s)):
            for _ in range(count):
                got.append(await self._next(f"{count} things ({len(got)} came)", None))
        return got

    async def expect_none(self, within_s: float = 1.0) -> None:
        """Raise `ProbeFailure` if an item comes within that time, or waits already."""
        if await self._something(min(within_s, max(0.0, self._deadline - trio.current_time()))):
            raise ProbeFailure(f"expected nothing, got {self._pop()!r}")

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Give all expectations in the block one common deadline; of nested blocks the earlier one counts.

        Raises `ProbeFailure` if the block takes longer.
        """
        outer, end = self._deadline, trio.current_time() + seconds
        self._deadline = min(outer, end)
        try:
            yield
        finally:
            self._deadline = outer
        if trio.current_time() > end:
            raise ProbeFailure(f"the block took longer than {seconds:g} s")

    async def _next(self, wanted: str, timeout_s: float | None) -> T:
        left_s = self._time_left(timeout_s)
        if not await self._something(left_s):
            raise ProbeFailure(f"no {wanted} within {left_s:g} s")
        return self._pop()

    async def _something(self, timeout_s: float) -> bool:
        with trio.move_on_after(timeout_s):
            while not self._waiting:
                await self._news.wait()
        return bool(self._waiting)

    def _pop(self) -> T:
        self.last = item = self._waiting.popleft()
        return item

    def _time_left(self, timeout_s: float | None) -> float:
        shared_s = self._deadline - trio.current_time()
        if timeout_s is None:
            timeout_s = EXPECT_TIMEOUT_S if shared_s == math.inf else shared_s
        return max(0.0, min(timeout_s, shared_s))


def _fits(wanted: object, item: object) -> bool:
    return isinstance(item, wanted) if isinstance(wanted, type) else bool(item == wanted)


def _assign(wanted: Sequence[object], got: Sequence[Any]) -> list[Any] | None:
    """Return one of `got` for each of `wanted`, or None if that is impossible."""
    if not wanted:
        return []
    for index, item in enumerate(got):
        if _fits(wanted[0], item):
            rest = _assign(wanted[1:], [*got[:index], *got[index + 1 :]])
            if rest is not None:
                return [item, *rest]
    return None


def _names(wanted: Sequence[object]) -> str:
    return ", ".join(item.__name__ if isinstance(item, type) else repr(item) for item in wanted)
