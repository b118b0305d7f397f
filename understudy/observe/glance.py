"""A check whose result is cached, so that callers without a token cannot make it run more than once a second."""

from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

import trio

MAX_AGE_S: Final = 1.0
"""Seconds for which a result is used. A load balancer that polls every second sees each change at its next poll."""

_T = TypeVar("_T")


class CachedCheck(Generic[_T]):
    """The last result of `check`, which runs again if the result is older than MAX_AGE_S, once for all waiting
    callers."""

    def __init__(self, look: Callable[[], Awaitable[_T]]) -> None:
        self._check = look
        self._lock = trio.Lock()
        self._cached: tuple[_T, float] | None = None

    async def result(self) -> _T:
        """Return a result that is at most MAX_AGE_S old."""
        async with self._lock:
            if self._cached is None or trio.current_time() - self._cached[1] >= MAX_AGE_S:
                self._cached = await self._check(), trio.current_time()
            return self._cached[0]
