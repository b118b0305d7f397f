"""Limits that all code of one run of trio shares: of worker threads, of processes, of users' calls.

It stands here, not in `actors`, because programs of the sandbox import `spawner`: they would load the whole runtime.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

import trio

T = TypeVar("T")


class RunLocal(Generic[T]):
    """A value of its own for each run of trio, made by `make` on first use. `name` appears in representations."""

    def __init__(self, name: str, make: Callable[[], T]) -> None:
        self._make = make
        self._value: trio.lowlevel.RunVar[T] = trio.lowlevel.RunVar(name)

    def __call__(self) -> T:
        """Return the value of this run of trio."""
        try:
            return self._value.get()
        except LookupError:
            value = self._make()
            self._value.set(value)
            return value

    def set(self, value: T) -> None:
        """Replace the value of this run of trio."""
        self._value.set(value)


def thread_limiter(name: str, threads: int) -> RunLocal[trio.CapacityLimiter]:
    """Return the limiter of one kind of work: at most `threads` worker threads at a time, in each run of trio."""
    return RunLocal(name, lambda: trio.CapacityLimiter(threads))
