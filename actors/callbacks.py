"""Registered callbacks, in the order of registration. A function may be registered twice, and is called twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

F = TypeVar("F")


class Callbacks(Generic[F]):
    """Iterate over it to call each; one that is removed meanwhile is skipped."""

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
        """Register a callback. Call the result to remove it; a second call is harmless."""
        key = object()
        self._entries[key] = callback

        def remove() -> None:
            self._entries.pop(key, None)

        return remove
