"""asyncio code in a trio program: single coroutines, and actors that own an asyncio loop.

1. An actor's loop lives from before its start hook until after its stop hook, in a task beside the actor.
2. Cancelling a message raises `asyncio.CancelledError` in its coroutine once. A coroutine that goes on all the same is
   awaited without limit: it blocks its actor and the actor's callers. `late_calls` and the log name it, with the time.
   Code that cannot be trusted to end belongs into a process.
3. An error of asyncio code crashes its actor, including a `CancelledError` of its own and an unhandled error of one of
   its background tasks. `SystemExit` and `KeyboardInterrupt` pass through.
4. No asyncio task outlives the incarnation.

trio-asyncio is imported at the first use. From then on it has replaced asyncio's event loop policy and patched its
functions that look for a loop, for the whole process: import `trio_asyncio` before other asyncio libraries, and keep
libraries with loops of their own in other threads (Playwright's synchronous interface) in another process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar, TypeVarTuple

import trio
from attrs import define

from actors.actor import Actor, Context
from actors.errors import ActorError, unwrap
from actors.exit_reasons import Exit

from .foreign_call import ForeignCall, name_of

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class ExtraMissing(ActorError, ImportError):
    """The optional dependency for running asyncio code, trio-asyncio, is not installed."""


@define
class AsyncioCancelled(ActorError, RuntimeError):
    """asyncio code ended with a `CancelledError` though no trio scope had cancelled it."""

    call: str

    def __str__(self) -> str:
        return f"{self.call} cancelled itself"


def _library() -> Any:
    """The module `trio_asyncio`, which has no types. Raises `ExtraMissing`."""
    try:
        import trio_asyncio
    except ImportError as error:
        raise ExtraMissing("code of asyncio needs trio-asyncio: install understudy-actors[asyncio]") from error
    return trio_asyncio


async def run_asyncio(function: Callable[[*Ts], Coroutine[Any, Any, T]], *args: *Ts, timeout_s: float) -> T:
    """Run the coroutine `function(*args)` in an asyncio loop made for it, and return its result or raise its error.

    It is cancelled with its caller, and after `timeout_s` seconds, which raises `ForeignTimeout`. Tasks that it leaves
    running are cancelled and awaited at its end. Raises `AsyncioCancelled`, and `ExtraMissing`.
    """
    call = ForeignCall(name_of(function))
    return await call.wait(partial(_run_once, call, partial(function, *args)), timeout_s)


async def _run_once(call: ForeignCall, function: Callable[[], Coroutine[Any, Any, T]]) -> T:
    await trio.lowlevel.checkpoint_if_cancelled()
    unless_fault = trio.CancelScope()
    held = _LoopTask(unless_fault.cancel)
    values: list[T] = []
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(held.hold)
            try:
                with unless_fault:
                    await held.opened.wait()
                    values.append(await held.outcome(call, function))
            except Exception as error:  # raised below, where the nursery makes no group of it
                held.faults.append(error)
            finally:
                await held.close()
    except BaseExceptionGroup as group:
        if group.split(trio.Cancelled)[1] is None:
            await trio.lowlevel.checkpoint_if_cancelled()
        raise
    if held.faults:
        raise held.faults[0]
    return values[0]


async def in_trio(async_fn: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> T:
    """Await a trio function from asyncio code, as in `await in_trio(ref.ask, request)`.

    An ask of an actor to itself, or around a circle, is not noticed through here: it ends by its timeout.
    """
    value: T = await _library().trio_as_aio(async_fn)(*args)
    return value


def _make_task(loop: Any, coro: Coroutine[Any, Any, T], **options: Any) -> asyncio.Task[T]:
    """Make a task whose error asyncio reports as soon as nobody holds the task, as in a loop of its own."""
    task = asyncio.Task(coro, loop=loop, **options)
    task.add_done_callback(_let_go_of_caller)
    return task


def _let_go_of_caller(task: asyncio.Task[Any]) -> None:
    """Break a circle: from Python 3.12 on the traceback of an error knows the frame that called the task, and the loop
    of trio-asyncio, unlike that of asyncio, has the task in a variable there.
    """
    error = task._exception  # `exception()` would count as looking at it
    frame = None if error is None or error.__traceback__ is None else error.__traceback__.tb_frame.f_back
    while frame is not None and frame.f_code.co_name != "_main_loop_one":
        frame = frame.f_back
    if frame is not None:
        with suppress(RuntimeError):  # it runs still
            frame.clear()


class _LoopTask:
    """An asyncio loop, held open by a task until `close`, whatever is cancelled around it."""

    def __init__(self, on_fault: Callable[[], object]) -> None:
        self._library = _library()
        self._on_fault = on_fault
        self.opened = trio.Event()
        self.faults: list[Exception] = []
        """Unhandled errors of tasks and callbacks."""
        self._loop: Any = None
        self._end = trio.Event()
        self._closed = trio.Event()
        self._waits: set[trio.Event] = set()

    @property
    def usable(self) -> bool:
        """Whether the loop is open."""
        return self._loop is not None and not self._loop.is_closed()

    async def hold(self) -> None:
        """Be the task that holds the loop open. Errors other than `Exception` pass through."""
        try:
            with trio.CancelScope(shield=True):
                async with self._library.open_loop() as self._loop:
                    self._loop.set_exception_handler(self._note_fault)
                    self._loop.set_task_factory(_make_task)
                    self.opened.set()
                    try:
                        await self._end.wait()
                    finally:
                        self._let_go()
        except ExceptionGroup as group:
            self.faults.append(unwrap(group))
        finally:
            self._closed.set()
            for wait in self._waits:
                wait.set()

    def _note_fault(self, loop: Any, context: dict[str, Any]) -> None:
        if loop.is_closed():
            loop.default_exception_handler(context)
            return
        error = context.get("exception")
        self.faults.append(error if isinstance(error, Exception) else RuntimeError(context.get("message")))
        self._on_fault()

    def _let_go(self) -> None:
        """A loop that ran into a `SystemExit` runs no tasks any more: do not wait for them, as trio-asyncio would."""
        if not self._loop.is_running():
            for task in asyncio.all_tasks(self._loop):
                task.cancel()
                task._log_destroy_pending = False  # type: ignore[attr-defined]  # it is known that it does not end
                asyncio._unregister_task(task)

    async def outcome(self, call: ForeignCall, function: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine. It gets to its first wait even if this task is cancelled already."""
        token = self._library.current_loop.set(self._loop)
        task: asyncio.Task[T] = asyncio.ensure_future(function(), loop=self._loop)
        self._library.current_loop.reset(token)
        over = trio.Event()
        task.add_done_callback(lambda _: over.set())
        self._waits.add(over)
        try:
            await over.wait()
        except trio.Cancelled:
            if self.usable:
                self._loop.call_soon(task.cancel)
            with trio.CancelScope(shield=True):
                await over.wait()
            if task.cancelled() or not task.done():
                raise
        finally:
            self._waits.discard(over)
        if not task.done():
            raise AsyncioCancelled(call.call)
        try:
            return task.result()
        except asyncio.CancelledError as error:
            raise AsyncioCancelled(call.call) from error

    async def close(self) -> None:
        """Cancel the tasks of the loop, and wait for their end."""
        tasks = asyncio.all_tasks(self._loop) if self.usable else ()
        names = sorted(getattr(task.get_coro(), "__qualname__", task.get_name()) for task in tasks)
        call = ForeignCall(f"the asyncio tasks {', '.join(names)}" if names else "the asyncio loop")
        call.over = self._closed
        self._end.set()
        with trio.CancelScope(shield=True):
            await call.interrupt_until_over()


class AsyncioActor(Actor):
    """An actor whose hooks are coroutines of asyncio, in an asyncio loop of its own.

    `ActorRef.tell` and `Ask.reply` work there as they are; use `in_trio` to await trio functions. Tasks that the
    hooks create are cancelled at the end of the incarnation, after the stop hook; an unhandled error of one crashes the
    actor when asyncio reports it. The hooks must not stop the loop.
    """

    _held: _LoopTask | None = None

    async def start_in_asyncio(self, context: Context) -> None:
        """Runs before the first message of each incarnation."""

    async def handle(self, message: object, context: Context) -> None:
        """Runs for each message. An exception crashes the actor."""
        context.unhandled(message)

    async def stop_in_asyncio(self, context: Context, reason: Exit) -> None:
        """Runs once at the end of each incarnation; cancelled when the grace is over."""

    async def on_start(self, context: Context) -> None:
        """Opens the loop and runs the start hook. Raises `ExtraMissing`."""
        failed = trio.Event()
        held = self._held = _LoopTask(failed.set)
        nursery = context._cell.host.nursery  # where the actor is: its own tasks end before its stop hook
        context.system.start_soon(nursery, f"{context.path} (asyncio)", held.hold)
        await held.opened.wait()

        @context.start_soon
        async def crash() -> None:
            await failed.wait()
            raise held.faults[0]

        await self._await("start_in_asyncio", partial(self.start_in_asyncio, context))

    async def receive(self, message: object, context: Context) -> None:
        """Hands the message to `handle`."""
        await self._await(f"handle {type(message).__name__}", partial(self.handle, message, context))

    async def on_stop(self, context: Context, reason: Exit) -> None:
        """Runs the stop hook and closes the loop."""
        held = self._held
        if held is None:
            return
        try:
            if held.usable:
                await self._await("stop_in_asyncio", partial(self.stop_in_asyncio, context, reason))
        finally:
            await held.close()
        if held.faults:
            raise held.faults[0]

    async def _await(self, name: str, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        if self._held is not None:
            call = ForeignCall(name)
            await call.wait(partial(self._held.outcome, call, function))
