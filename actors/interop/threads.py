"""Blocking code in threads: single calls, and actors that work in threads.

1. A call runs in a thread while the loop goes on. An actor handles one message at a time, as any actor does.
2. A thread cannot be stopped. A cancelled call is notified, interrupted if possible, and then awaited: its caller does
   not end before it. `late_calls` and the log name it, with the time.
3. With `abandon`, a cancelled call is not awaited: it is named, counted, and bounded in number, and has no effect on
   the loop from then on.
4. A dedicated thread makes all calls of its actor, from the first to the last, and is never abandoned.
"""

from __future__ import annotations

import contextvars
import math
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Generic, Protocol, TypeVar, TypeVarTuple

import trio
from attrs import frozen

from actors.actor import Actor, Context
from actors.ask import Ask
from actors.errors import InvalidSpec, SelfCall
from actors.exit_reasons import Exit
from actors.lanes import Lane
from actors.ref import ASK_TIMEOUT_S, ActorRef

from .foreign_call import ForeignCall, name_of
from .worker_thread import WorkerThread

T = TypeVar("T")
R = TypeVar("R")
Ts = TypeVarTuple("Ts")

THREADS = 40
"""Most concurrent calls without a limiter of their own, trio's default for its threads; further calls wait."""

_limiter: trio.lowlevel.RunVar[trio.CapacityLimiter] = trio.lowlevel.RunVar("actors.interop.limiter")
_current: contextvars.ContextVar[ThreadContext] = contextvars.ContextVar("actors.interop.thread")


class _Bridge(Protocol):
    """A thread's access to the loop. For trio's own threads it is the module `trio.from_thread`."""

    def run(self, afn: Callable[..., Awaitable[R]], *args: Any) -> R:
        """Await a function on the loop. Return its result or raise its error."""

    def check_cancelled(self) -> None:
        """Raise `trio.Cancelled` if the task that waits for the thread was cancelled."""


class ThreadContext:
    """The interface of blocking code in a thread: check for cancellation, and reach the loop and its actors.

    Every method but `check_cancelled` waits for the loop, so a thread has at most one call in flight there. Each
    raises `trio.Cancelled` if the call was cancelled: do not catch it.
    """

    def __init__(self, call: ForeignCall, bridge: _Bridge) -> None:
        self._call = call
        self._bridge = bridge

    @classmethod
    def current(cls) -> ThreadContext:
        """Return the context of the call in this thread. Raises `LookupError` if there is none."""
        return _current.get()

    def check_cancelled(self) -> None:
        """Raise `trio.Cancelled` if the call was cancelled. Call it often in long work: only this ends the work."""
        self._bridge.check_cancelled()

    def call(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """Run `function(*args)` on the loop, quick and synchronous. Return its result or raise its error."""

        async def once() -> T:
            return function(*args)

        return self._on_loop(once)

    def tell(self, ref: ActorRef, message: object, *, lane: Lane = Lane.NORMAL) -> None:
        """Call `ActorRef.tell` from a thread."""
        self.call(partial(ref.tell, message, lane=lane))

    def ask(self, ref: ActorRef, request: Ask[T], *, timeout_s: float = ASK_TIMEOUT_S) -> T:
        """Call `ActorRef.ask` from a thread. Raises `SelfCall` for the actor that waits for this thread."""
        if ref.path == self._call.who:
            raise SelfCall(ref.path, "ask")
        return self._on_loop(partial(ref.ask, request, timeout_s=timeout_s))

    def _on_loop(self, afn: Callable[[], Awaitable[T]]) -> T:
        self.check_cancelled()
        values: list[T] = []
        self._bridge.run(self._unless_over, afn, values)
        if not values:
            self.check_cancelled()
        return values[0]

    async def _unless_over(self, afn: Callable[[], Awaitable[T]], values: list[T]) -> None:
        """Run the function unless the call was abandoned; cancel it if that happens meanwhile."""
        if not self._call.over.is_set():
            with trio.CancelScope() as self._call.scope:
                values.append(await afn())


@frozen
class ThreadSpec:
    """The use of threads by an actor. Raises `InvalidSpec` naming the field.

    `dedicated`: one thread for all calls, for objects that belong to the thread that made them. Otherwise each call
    takes a thread while it runs, at most 40 at once in all, or as many as `limiter` allows. `abandon`: a cancelled call
    is not awaited; for calls without effects only. `timeout_s` bounds each call, with `ForeignTimeout`.
    """

    dedicated: bool = False
    abandon: bool = False
    timeout_s: float = math.inf
    limiter: trio.CapacityLimiter | None = None

    def __attrs_post_init__(self) -> None:
        if not self.timeout_s > 0:
            raise InvalidSpec("timeout_s", "must be above zero")
        if self.dedicated and self.abandon:
            raise InvalidSpec("abandon", "must be false for a dedicated thread, which also has to run the stop hook")
        if self.dedicated and self.limiter is not None:
            raise InvalidSpec("limiter", "must be None for a dedicated thread, which is in no pool")


async def run_in_thread(
    blocking: Callable[[*Ts], T],
    *args: *Ts,
    timeout_s: float,
    interrupt: Callable[[], object] | None = None,
    abandon: bool = False,
    limiter: trio.CapacityLimiter | None = None,
) -> T:
    """Run `blocking(*args)` in a thread. Return its result or raise its error.

    When the caller is cancelled, or after `timeout_s` seconds, which raises `ForeignTimeout`, the code can notice it
    (`ThreadContext.current().check_cancelled()`), and `interrupt` is called on the loop repeatedly until the code ends:
    it must be quick. The call waits for that end, however long it takes; a value that comes so late is returned. With
    `abandon` the call does not wait, and raises `TooManyAbandoned` if too many abandoned calls still run.
    """
    call = ForeignCall(name_of(blocking), interrupt)
    spec = ThreadSpec(abandon=abandon, timeout_s=timeout_s, limiter=limiter)
    return await Work(call, partial(blocking, *args)).in_pool(spec)


class Work(Generic[T]):
    """One call in a thread."""

    def __init__(self, call: ForeignCall, function: Callable[[], T]) -> None:
        self.call = call
        self._function = function
        self._ended = self._left = False

    async def in_pool(self, spec: ThreadSpec, *, surely: bool = False) -> T:
        """Make the call in one of trio's threads; `surely` even if the task is cancelled already."""
        if spec.abandon:
            self.call.check_abandoned()
        limiter = trio.CapacityLimiter(1) if surely else spec.limiter or _default_limiter()

        async def foreign() -> T:
            with trio.CancelScope(shield=surely) as start:
                try:
                    return await trio.to_thread.run_sync(
                        self._run_pooled, start, limiter=limiter, abandon_on_cancel=spec.abandon
                    )
                except trio.Cancelled:
                    self._leave()
                    raise
            raise AssertionError("this scope is never cancelled")

        return await self.call.wait(foreign, spec.timeout_s)

    def run(self, bridge: _Bridge) -> T:
        """In the thread: make the call."""
        self.call.begun = True
        if self._left:
            bridge.check_cancelled()
        _current.set(ThreadContext(self.call, bridge))
        return self._function()

    def _run_pooled(self, start: trio.CancelScope) -> T:
        try:
            if start.shield:
                trio.from_thread.run_sync(setattr, start, "shield", False)
            return self.run(trio.from_thread)
        finally:
            self._ended = True
            self.call.ended()

    def _leave(self) -> None:
        """Abandon the call of a cancelled task if its thread goes on."""
        self._left = True
        if self.call.begun and not self._ended:
            self.call.abandon()
            if self._ended:
                self.call.ended()


def _default_limiter() -> trio.CapacityLimiter:
    """Return the limiter of this trio run, apart from trio's own: stuck calls block no file and no DNS lookup."""
    try:
        return _limiter.get()
    except LookupError:
        limiter = trio.CapacityLimiter(THREADS)
        _limiter.set(limiter)
        return limiter


class ThreadActor(Actor):
    """An actor whose hooks are blocking code: they run in threads, one at a time, while the loop goes on.

    Set `thread` on the class or the instance. A subclass may override `receive` to serve some messages on the loop.
    """

    thread: ThreadSpec = ThreadSpec()
    _worker: WorkerThread | None = None

    def start_in_thread(self, thread: ThreadContext) -> None:
        """Runs before the first message of each incarnation."""

    def handle(self, message: object, thread: ThreadContext) -> object:
        """Runs for each message; its result answers a request. Return `NotImplemented` for an unknown message.

        An exception crashes the actor.
        """
        return NotImplemented

    def stop_in_thread(self, thread: ThreadContext, reason: Exit) -> None:
        """Runs once at the end of each incarnation, even if killed; its thread is awaited."""

    def interrupt(self) -> None:
        """Make the running call end: see `run_in_thread`. Not called unless overridden."""

    async def in_thread(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """Run `function(*args)` in a thread as the hooks are run. Return its result or raise its error."""
        return await self._make(name_of(function), partial(function, *args))

    async def on_start(self, context: Context) -> None:
        """Starts a dedicated thread, and runs the start hook."""
        if self.thread.dedicated:
            self._worker = WorkerThread(context.path)
        await self._make("start_in_thread", lambda: self.start_in_thread(ThreadContext.current()))

    async def receive(self, message: object, context: Context) -> None:
        """Hands the message to `handle`."""
        name = f"handle {type(message).__name__}"
        answer = await self._make(name, lambda: self.handle(message, ThreadContext.current()))
        if answer is NotImplemented:
            context.unhandled(message)
        elif isinstance(message, Ask) and message.waiting:
            message.reply(answer)

    async def on_stop(self, context: Context, reason: Exit) -> None:
        """Runs the stop hook, and ends a dedicated thread."""
        stop = partial(self._make, "stop_in_thread", lambda: self.stop_in_thread(ThreadContext.current(), reason))
        try:
            await stop(surely=True)
        finally:
            if self._worker is not None:
                await self._worker.end()

    async def _make(self, name: str, function: Callable[[], T], *, surely: bool = False) -> T:
        interruptible = getattr(self.interrupt, "__func__", None) is not ThreadActor.interrupt
        work = Work(ForeignCall(name, self.interrupt if interruptible else None), function)
        if self._worker is not None:
            return await self._worker.make(work, self.thread.timeout_s, surely=surely)
        return await work.in_pool(self.thread, surely=surely)
