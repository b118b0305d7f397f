"""The tasks an actor started with `Context.start_soon`: each beside the actor, in the nursery that holds it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import trio

from . import termination
from .hooks import call_async
from .watchdog import owned_by

if TYPE_CHECKING:
    from .cell import Cell


class OwnedTasks:
    """One incarnation's own tasks, each in a cancel scope of its own: cheaper than a nursery around one of them.

    A task that raises crashes the actor; all are cancelled, and waited for, when the incarnation ends.
    """

    __slots__ = ("_over", "_scopes", "cell")

    def __init__(self, cell: Cell) -> None:
        self.cell: Cell = cell
        self._scopes: dict[trio.CancelScope, None] = {}
        self._over: trio.Event | None = None

    def start_soon(self, function: Callable[..., Awaitable[object]], *args: Any, name: str | None = None) -> None:
        """Start a task; it runs until it returns or the incarnation ends."""
        scope = trio.CancelScope()
        self._scopes[scope] = None
        name = name or getattr(function, "__qualname__", None)
        self.cell.host.nursery.start_soon(self._run, scope, partial(call_async, function, *args), name=name)

    async def _run(self, scope: trio.CancelScope, call: Callable[[], Awaitable[object]]) -> None:
        owned_by.set(self)
        try:
            with scope:
                await call()
        except BaseException as error:
            passing, fault = termination.split_error(error)
            if fault is not None:
                termination.fail(self.cell, termination.as_exception(self.cell, fault))
            if passing is not None:
                raise passing from None
        finally:
            del self._scopes[scope]
            if self._over is not None and not self._scopes:
                self._over.set()

    async def close(self) -> None:
        """Cancel the tasks and wait until the last is over."""
        if self._scopes:
            self._over = trio.Event()
            for scope in tuple(self._scopes):
                scope.cancel()
            await self._over.wait()
