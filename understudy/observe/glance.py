"""A look at the server that strangers may ask for, taken once a second at most."""

from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

import trio

MAX_AGE_S: Final = 1.0
"""A balancer that asks every second sees each change with its next question."""

_T = TypeVar("_T")


class CachedCheck(Generic[_T]):
    """What `look` found last. It is called again when that is older than a second, for all that ask meanwhile."""

    def __init__(self, look: Callable[[], Awaitable[_T]]) -> None:
        self._check = look
        self._lock = trio.Lock()
        self._cached: tuple[_T, float] | None = None

    async def result(self) -> _T:
        """Give what was found, a second ago at most."""
        async with self._lock:
            if self._cached is None or trio.current_time() - self._cached[1] >= MAX_AGE_S:
                self._cached = await self._check(), trio.current_time()
            return self._cached[0]
