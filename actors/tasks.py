"""The tasks an actor started with `Context.start_soon`: one nursery, opened for those who need it only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import trio

from . import ending
from .errors import RaisedBaseException

if TYPE_CHECKING:
    from .cell import Cell


class OwnedTasks:
    """The nursery of one incarnation's own tasks. It lives beside the actor, in the nursery that holds the actor.

    A task that raises crashes the actor; all are cancelled, and waited for, when the incarnation ends.
    """

    __slots__ = ("_cell", "_done", "_nursery", "_pending", "_scope")

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._scope = trio.CancelScope()
        self._done = trio.Event()
        self._nursery: trio.Nursery | None = None
        self._pending: list[tuple[Callable[[], Awaitable[object]], str | None]] = []

    def start_soon(self, function: Callable[..., Awaitable[object]], *args: Any, name: str | None = None) -> None:
        """Start a task; it runs until it returns or the incarnation ends."""
        call = partial(function, *args)
        if self._nursery is None:
            self._pending.append((call, name))
        else:
            self._nursery.start_soon(call, name=name or getattr(function, "__qualname__", None))

    async def run(self) -> None:
        """Hold the tasks until `close`."""
        try:
            with self._scope:
                async with trio.open_nursery() as self._nursery:
                    for call, name in self._pending:
                        self._nursery.start_soon(call, name=name)
                    self._pending.clear()
                    await trio.sleep_forever()
            if not self._scope.cancel_called:  # a task raised a cancellation that was none: its nursery took it for one
                ending.fail(self._cell, RaisedBaseException(self._cell.path, "Cancelled"))
        except BaseException as error:
            passing, fault = ending.part(error)
            if fault is not None:
                ending.fail(self._cell, ending.as_fault(self._cell, fault))
            if passing is not None:
                raise passing from None
        finally:
            self._done.set()

    async def close(self) -> None:
        """Cancel the tasks and wait until the last is over."""
        self._scope.cancel()
        await self._done.wait()
