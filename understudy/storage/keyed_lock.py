"""Locks by key: work on one key is serialised, and the lock of an unused key is deleted."""

from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

import trio
from attrs import define, field

K = TypeVar("K", bound=Hashable)


@define(eq=False)
class _Entry:
    """The lock of one key, and how many tasks hold it or wait for it."""

    lock: trio.Lock = field(factory=trio.Lock)
    users: int = 0


@define(eq=False)
class KeyedLock(Generic[K]):
    """A `trio.Lock` for each key."""

    _entries: dict[K, _Entry] = field(factory=dict, init=False)

    @asynccontextmanager
    async def hold(self, key: K) -> AsyncIterator[None]:
        """Hold the lock of `key` during the block; wait until it is free, in order of arrival."""
        entry = self._entries.setdefault(key, _Entry())
        entry.users += 1
        try:
            async with entry.lock:
                yield
        finally:
            entry.users -= 1
            if not entry.users:
                del self._entries[key]
