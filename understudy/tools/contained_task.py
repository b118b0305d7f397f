"""Tasks of asyncio whose `SystemExit` or `KeyboardInterrupt` is their own error, and does not end their loop."""

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any

from understudy.tools.containment import contain


class _Contained(Coroutine[Any, Any, Any]):
    """A coroutine for a task of asyncio, which would take a `SystemExit` through its whole loop."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine = coroutine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._coroutine, name)  # `cr_running` and others, by which libraries see its state

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._coroutine.__await__()

    def send(self, value: Any) -> Any:
        """Resume it."""
        try:
            return self._coroutine.send(value)
        except (SystemExit, KeyboardInterrupt) as error:
            raise contain("a task", error, cancelled=False) from error

    def throw(self, *error: Any) -> Any:
        """Raise an error in it."""
        try:
            return self._coroutine.throw(*error)
        except (SystemExit, KeyboardInterrupt) as raised:
            raise contain("a task", raised, cancelled=False) from raised

    def close(self) -> None:
        """End it."""
        self._coroutine.close()


def contained_task(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> "asyncio.Task[Any]":
    """Make a task, as the factory of a loop of trio-asyncio."""
    return asyncio.Task(_Contained(coroutine), loop=loop, **options)
