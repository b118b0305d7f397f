"""A call of a tool that runs on the tools' loop, while a task on the server's loop waits for its result.

1. The call ends on the server's loop within `GRACE_S` of its cancellation, whatever its function does.
2. The function reaches the server's loop only through its context, by errands that end with the call.
"""

import concurrent.futures
import contextvars
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import trio
from attrs import define, field, frozen

from understudy.tools.containment import contained
from understudy.tools.errors import ToolError

if TYPE_CHECKING:
    from understudy.tools.context import ToolContext
    from understudy.tools.loop import ToolThread

T = TypeVar("T")

GRACE_S: Final = 1.0
"""Seconds for a cancelled call to end; then the server does not wait for it any longer."""
ANSWER_S: Final = 5.0
"""Seconds for the server's loop to answer a synchronous method, which blocks the tools' loop; then it times out."""


class NotBegun(Exception):
    """A thread ended before it began a call, which can be made in another thread."""


@define(eq=False)
class LoopCall:
    """One call. `function` takes the context for the tools' loop, which is made from the server's `context`.

    The `nursery` runs the call's errands on the server's loop; it is None before and after the call.
    """

    name: str
    function: Callable[[Any], Awaitable[Any]]
    context: "ToolContext"
    thread: "ToolThread"
    variables: contextvars.Context = field(factory=contextvars.copy_context)
    scope: trio.CancelScope = field(factory=trio.CancelScope)
    ended: trio.Event = field(factory=trio.Event)
    nursery: trio.Nursery | None = None
    ticket: list[None] = field(factory=lambda: [None])
    value: list[Any] = field(factory=list)
    error: BaseException | None = None

    def take_ticket(self) -> bool:
        """Return True for the first caller only: it begins the call, or declares it not begun. Thread-safe."""
        with suppress(IndexError):
            self.ticket.pop()
            return True
        return False

    # Called on the server's loop

    async def result(self) -> Any:
        """Wait for the end of the call. Return its value or raise its error."""
        async with trio.open_nursery() as self.nursery:
            try:
                await self.ended.wait()
            except trio.Cancelled:
                self.thread.post(self.cancel)
                with trio.CancelScope(shield=True, deadline=trio.current_time() + GRACE_S):
                    await self.ended.wait()
                raise
            finally:
                self.nursery.cancel_scope.cancel()
                self.nursery = None  # errands of a function that still runs are refused
        if self.value:
            return self.value[0]
        if self.take_ticket():
            raise NotBegun
        raise self.error or self.thread.gone(self.name)

    def abandon(self, error: ToolError) -> None:
        """End the call with an error, without waiting for its function."""
        if not self.ended.is_set():
            self.error = error
            self.ended.set()

    def _start_errand(self, future: "concurrent.futures.Future[Any]", work: Callable[[], Awaitable[Any]]) -> None:
        if self.nursery is None or self.ended.is_set():
            future.cancel()
        else:
            self.nursery.start_soon(self._do_errand, future, work)

    async def _do_errand(self, future: "concurrent.futures.Future[Any]", work: Callable[[], Awaitable[Any]]) -> None:
        scope, home = trio.CancelScope(), trio.lowlevel.current_trio_token()

        def cancel(done: "concurrent.futures.Future[Any]") -> None:
            if done.cancelled():
                with suppress(trio.RunFinishedError):
                    home.run_sync_soon(scope.cancel)

        future.add_done_callback(cancel)
        try:
            with scope, suppress(concurrent.futures.InvalidStateError):
                try:
                    value = await work()
                except Exception as error:
                    future.set_exception(error)
                else:
                    future.set_result(value)
        finally:
            future.cancel()

    # Called in the tools' thread

    def cancel(self) -> None:
        """Cancel the call."""
        self.scope.cancel()

    async def serve(self) -> None:
        """Make the call, and report its end to the server's loop."""
        try:
            with self.scope:
                await trio.lowlevel.checkpoint_if_cancelled()
                if self.take_ticket():
                    with contained(self.name):
                        self.value = [await self.function(self._context())]
        except Exception as error:
            self.error = error
        finally:
            self.thread.tell_server(self._end)

    def _end(self) -> None:
        self.ended.set()

    def _context(self) -> "ToolContext":
        """Return the call's context for this thread, whose methods run on the server's loop."""
        return self.context.elsewhere(self.on_server, self._now_on_server)

    async def on_server(self, function: Callable[..., Awaitable[T]], /, *args: Any, **kwargs: Any) -> T:
        """Await a function on the server's loop, from trio or asyncio."""
        future: concurrent.futures.Future[T] = concurrent.futures.Future()
        self.thread.tell_server(partial(self._start_errand, future, partial(function, *args, **kwargs)))
        if _in_asyncio():
            import asyncio

            return await asyncio.wrap_future(future)
        return await wait_for(future)

    def _now_on_server(self, function: Callable[..., T], *args: Any) -> T:
        """Run a quick function on the server's loop. Blocks. Raises TimeoutError after `ANSWER_S`."""
        future: concurrent.futures.Future[T] = concurrent.futures.Future()

        def run() -> None:
            try:
                future.set_result(function(*args))
            except Exception as error:
                future.set_exception(error)

        self.thread.tell_server(run)
        return future.result(timeout=ANSWER_S)


async def wait_for(future: "concurrent.futures.Future[T]") -> T:
    """Wait on trio for a future that another thread completes. Cancelling the wait cancels the future."""
    done, token = trio.Event(), trio.lowlevel.current_trio_token()

    def wake(_: object) -> None:
        with suppress(trio.RunFinishedError):
            token.run_sync_soon(done.set)

    future.add_done_callback(wake)
    try:
        await done.wait()
    finally:
        future.cancel()
    return future.result()


def _in_asyncio() -> bool:
    import sniffio

    return sniffio.current_async_library() == "asyncio"


@frozen
class Elsewhere:
    """An object whose methods run on the server's loop, through `run`."""

    _run: Callable[..., Any]
    _target: Any

    def __getattr__(self, name: str) -> Any:
        return partial(self._run, getattr(self._target, name))
