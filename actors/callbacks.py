"""Who wants to be called, in the order in which they said so. The same function may be in here twice, as two."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

F = TypeVar("F")


class Callbacks(Generic[F]):
    """Iterate to call each; one that is taken out meanwhile is not given out any more."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: dict[object, F] = {}

    def __bool__(self) -> bool:
        return bool(self._entries)

    def __iter__(self) -> Iterator[F]:
        for key, callback in tuple(self._entries.items()):
            if key in self._entries:
                yield callback

    def add(self, callback: F) -> Callable[[], None]:
        """Take one in; call the result to take it out again, which is harmless a second time."""
        key = object()
        self._entries[key] = callback

        def remove() -> None:
            self._entries.pop(key, None)

        return remove
