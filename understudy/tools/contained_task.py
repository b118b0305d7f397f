"""Makes asyncio tasks whose `SystemExit` or `KeyboardInterrupt` fails the task, and does not end its loop."""

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any

from understudy.tools.containment import contain


class _Contained(Coroutine[Any, Any, Any]):
    """Wraps a coroutine, because an asyncio task raises `SystemExit` through the whole loop."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine = coroutine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._coroutine, name)  # libraries read `cr_running` and the like

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._coroutine.__await__()

    def send(self, value: Any) -> Any:
        """Resume the coroutine with a value."""
        try:
            return self._coroutine.send(value)
        except (SystemExit, KeyboardInterrupt) as error:
            raise contain("a task", error, cancelled=False) from error

    def throw(self, *error: Any) -> Any:
        """Raise an error in the coroutine."""
        try:
            return self._coroutine.throw(*error)
        except (SystemExit, KeyboardInterrupt) as raised:
            raise contain("a task", raised, cancelled=False) from raised

    def close(self) -> None:
        """Close the coroutine."""
        self._coroutine.close()


def contained_task(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> "asyncio.Task[Any]":
    """Make a task: the task factory for a loop of trio-asyncio."""
    return asyncio.Task(_Contained(coroutine), loop=loop, **options)
