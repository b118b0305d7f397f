"""The root of a tree of actors: where it starts, what it tells, and how it ends."""

from __future__ import annotations

import contextvars
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from random import Random
from types import TracebackType
from typing import Any

import trio

from . import letters
from .cell import Cell
from .errors import ActorError, SystemFailed
from .exits import KILLED, Crashed, Exit
from .records import DeadLetter, DeadLetters, Event, log, log_event
from .ref import ActorRef, StopMode
from .spec import AutoShutdown, ChildSpec, Restart, Strategy, check_children
from .supervisor import Supervisor
from .timers import Timers
from .tree import TreeNode, snapshot


class ActorSystem:
    """A tree of actors under one root supervisor (one for one), for the length of an `async with` block.

    Leaving the block stops the tree in order, each actor within its grace; a cancelled block kills it. `on_event` is
    called with each record of `actors.records`; it must be quick, and when it raises, that is counted and logged.
    `seed` makes the jitter of backoffs repeatable. Raises `InvalidSpec` for its arguments, `StartFailed` on entry when
    a child does not start, and `SystemFailed` on exit when the root failed.
    """

    def __init__(
        self,
        name: str = "system",
        children: Sequence[ChildSpec] = (),
        *,
        intensity: int = 1,
        period_s: float = 5.0,
        on_event: Callable[[Event], None] | None = None,
        dead_letter_capacity: int = 1000,
        seed: int | None = None,
    ) -> None:
        self.name = name
        self.on_event = on_event
        self.dead_letters = DeadLetters(dead_letter_capacity)
        """The last messages that reached nobody, and how many there were in all."""
        self.late_replies = 0
        """Answers that came when nobody waited any more."""
        self.unhandled = 0
        """Messages that their actors did not know."""
        self.event_errors = 0
        """How often `on_event` raised."""
        self.random = Random(seed)  # noqa: S311 - jitter, not secrets
        self.owner: Cell | None = None
        self._context = contextvars.Context()
        self._failure: Exception | None = None
        specs = check_children(children)

        def make_root() -> Supervisor:
            return Supervisor(specs, Strategy.ONE_FOR_ONE, intensity, period_s, None, AutoShutdown.NEVER)

        make_root()
        self._root_spec = ChildSpec(name, make_root, restart=Restart.TEMPORARY)

    async def __aenter__(self) -> ActorSystem:
        self.timers = Timers()
        self._outer = trio.open_nursery()
        self.nursery = await self._outer.__aenter__()
        self.start_soon(self.nursery, f"{self.name} (timers)", self.timers.run)
        self._root = Cell(self, self, self._root_spec)
        try:
            await self._start_root()
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if _is_cancelled(error):
            self.nursery.cancel_scope.cancel()
            caught = await self._outer.__aexit__(kind, error, traceback)
        else:
            caught = False
            try:
                await self.stop()
            finally:
                self.nursery.cancel_scope.cancel()
                await self._outer.__aexit__(None, None, None)
        if caught or (self._failure is not None and error is None):
            raise SystemFailed(self.name) from self._failure

    async def _start_root(self) -> None:
        started = trio.Event()
        self._root.when_started(started.set)
        self._root.begin()
        await started.wait()
        if self._root.start_error is not None:
            cause = self._root.start_error.cause
            raise cause if isinstance(cause, ActorError) else self._root.start_error

    @property
    def root(self) -> ActorRef:
        """The root supervisor."""
        return self._root.ref

    async def spawn(self, spec: ChildSpec) -> ActorRef:
        """Start a child of the root and wait until it runs; raises what `Context.spawn` raises."""
        family = self._root.family
        if family is None:
            raise letters.death(self._root)
        return await family.spawn(spec)

    async def stop(self, grace_s: float | None = None) -> None:
        """Stop the tree in order and wait for its end; after `grace_s` seconds, kill what is left. Harmless again."""
        self._root.order_stop(StopMode.AFTER_MESSAGE)
        if grace_s is not None:
            limit = self.timers.after(grace_s, self._root.kill)
            await self._root.wait_dead()
            limit.cancel()
        else:
            await self._root.wait_dead()

    def tree(self) -> TreeNode:
        """What is alive right now."""
        return snapshot(self._root, self.timers.now())

    def find(self, path: str) -> ActorRef | None:
        """The live actor at this path, as in `/system/chat/outbox`; None when there is none."""
        names = path.strip("/").split("/")
        cell: Cell | None = self._root if names[0] == self.name else None
        for name in names[1:]:
            cell = cell.family.children.get(name) if cell is not None and cell.family is not None else None
        return None if cell is None or cell.buried else cell.ref

    # For the runtime

    def emit(self, event: Event) -> None:
        """Tell `on_event`; what it raises is counted and logged, and harms no actor."""
        try:
            (self.on_event or log_event)(event)
        except Exception:
            self.event_errors += 1
            log.exception("on_event raised")

    def dead_letter(self, letter: DeadLetter) -> None:
        """Keep, count and tell a message that reached nobody."""
        self.dead_letters.add(letter)
        self.emit(letter)

    def start_soon(
        self, nursery: trio.Nursery, name: str, function: Callable[..., Awaitable[object]], *args: Any
    ) -> None:
        """Start a task in a clean context: an actor is no part of the request that happened to start it."""
        self._context.run(partial(nursery.start_soon, function, *args, name=name))

    def child_ended(self, cell: Cell, reason: Exit) -> None:
        """The root is over, and with it the tree."""
        if isinstance(reason, Crashed) and cell.born:
            self._failure = reason.error
            self.nursery.cancel_scope.cancel()
        elif reason is KILLED and not cell.final:
            self.nursery.cancel_scope.cancel()
        cell.bury(reason)

    def resumed(self, cell: Cell, error: Exception) -> None:
        """The root never resumes: its spec has no directives."""

    def give_up(self, cell: Cell, reason: Exit) -> None:
        """Bury the root."""
        cell.bury(reason)


@asynccontextmanager
async def open_system(
    name: str = "system", children: Sequence[ChildSpec] = (), **options: Any
) -> AsyncIterator[ActorSystem]:
    """Open an `ActorSystem` with these arguments for the length of the block."""
    async with ActorSystem(name, children, **options) as system:
        yield system


def _is_cancelled(error: BaseException | None) -> bool:
    """Whether the block was cancelled: by one `Cancelled`, or by the group of them that its nurseries make."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(trio.Cancelled)[1] is None
    return isinstance(error, trio.Cancelled)
