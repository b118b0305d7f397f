"""A look at the server that strangers may ask for, taken once a second at most."""

from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

import trio

EVERY_S: Final = 1.0
"""A balancer that asks every second sees each change with its next question."""

_T = TypeVar("_T")


class Glance(Generic[_T]):
    """What `look` found last. It is called again when that is older than a second, for all that ask meanwhile."""

    def __init__(self, look: Callable[[], Awaitable[_T]]) -> None:
        self._look = look
        self._turn = trio.Lock()
        self._found: tuple[_T, float] | None = None

    async def now(self) -> _T:
        """Give what was found, a second ago at most."""
        async with self._turn:
            if self._found is None or trio.current_time() - self._found[1] >= EVERY_S:
                self._found = await self._look(), trio.current_time()
            return self._found[0]
