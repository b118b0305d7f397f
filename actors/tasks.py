"""The tasks that an actor started with `Context.start_soon`. Each runs in the nursery that holds the actor."""

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
    """The tasks of one incarnation, each in its own cancel scope, which is cheaper than a nursery for each actor.

    A task that raises crashes the actor. At the end of the incarnation all are cancelled and awaited.
    """

    __slots__ = ("_over", "_scopes", "cell")

    def __init__(self, cell: Cell) -> None:
        self.cell: Cell = cell
        self._scopes: dict[trio.CancelScope, None] = {}
        self._over: trio.Event | None = None

    def start_soon(self, function: Callable[..., Awaitable[object]], *args: Any, name: str | None = None) -> None:
        """Start a task that runs until it returns or the incarnation ends."""
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
        """Cancel the tasks and wait for their end."""
        if self._scopes:
            self._over = trio.Event()
            for scope in tuple(self._scopes):
                scope.cancel()
            await self._over.wait()
