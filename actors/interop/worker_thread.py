"""A dedicated thread, which makes all calls of one actor, one after the other. A task waits for each call.

1. The calls are made in the order in which they were begun, in this thread and no other.
2. Functions that a call runs on the loop run in the task that waits for the call, within its cancel scopes.
3. The thread is never abandoned: `end` waits for its end.
"""

from __future__ import annotations

import contextvars
import queue
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import trio

if TYPE_CHECKING:
    from .threads import Work

T = TypeVar("T")
R = TypeVar("R")


class WorkerThread:
    """A thread that makes one call after the other until it is ordered to end."""

    def __init__(self, name: str) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._calls: queue.SimpleQueue[WorkerCall[Any] | None] = queue.SimpleQueue()
        self._one_at_a_time = trio.Lock()
        self._ended = trio.Event()
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    async def make(self, work: Work[T], timeout_s: float, *, surely: bool) -> T:
        """Make the call once the calls before it have ended; `surely` even if the task is cancelled already."""

        async def foreign() -> T:
            with trio.CancelScope(shield=surely) as start:
                await self._one_at_a_time.acquire()
                start.shield = False
                try:
                    call = WorkerCall(work)
                    self._calls.put(call)
                    return await call.answer()
                finally:
                    self._one_at_a_time.release()
            raise AssertionError("this scope is never cancelled")

        return await work.call.wait(foreign, timeout_s)

    async def end(self) -> None:
        """Let the thread end, and wait for it."""
        self._calls.put(None)
        with trio.CancelScope(shield=True):
            await self._ended.wait()
        self._thread.join()

    def _serve(self) -> None:
        while (call := self._calls.get()) is not None:
            call.run_here()
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self._ended.set)


class WorkerCall(Generic[T]):
    """A call on its way through a dedicated thread, and that thread's bridge to the task that waits for it."""

    def __init__(self, work: Work[T]) -> None:
        self._work = work
        self._task = trio.lowlevel.current_task()
        self._token = trio.lowlevel.current_trio_token()
        self._context = contextvars.copy_context()
        self._errand: Callable[[], Awaitable[None]] | None = None
        self._raise_cancel: Callable[[], object] | None = None
        self._value: list[T] = []
        self._error: BaseException | None = None

    async def answer(self) -> T:
        """Wait for the call, and meanwhile run on the loop the functions that its thread passes to `run`."""
        while True:
            await trio.lowlevel.wait_task_rescheduled(self._cancel)
            errand, self._errand = self._errand, None
            if errand is None:
                break
            await errand()
        if self._error is not None:
            raise self._error
        return self._value[0]

    def _cancel(self, raise_cancel: Callable[[], object]) -> trio.lowlevel.Abort:
        self._raise_cancel = raise_cancel
        return trio.lowlevel.Abort.FAILED

    def run_here(self) -> None:
        """In the thread: make the call, and wake the task."""
        try:
            self._value.append(self._context.run(self._work.run, self))
        except BaseException as error:  # raised again in the task
            self._error = error
        self._wake()

    def run(self, afn: Callable[..., Awaitable[R]], *args: Any) -> R:
        """In the thread: run `afn(*args)` in the waiting task. Return its result or raise its error."""
        answers: queue.SimpleQueue[tuple[list[R], BaseException | None]] = queue.SimpleQueue()

        async def errand() -> None:
            try:
                answers.put(([await afn(*args)], None))
            except BaseException as error:  # raised in the thread, whose call may end by it
                answers.put(([], error))

        self._errand = errand
        self._wake()
        values, error = answers.get()
        if error is not None:
            raise error
        return values[0]

    def check_cancelled(self) -> None:
        """In the thread: raise `trio.Cancelled` if the waiting task was cancelled."""
        if self._raise_cancel is not None:
            self._raise_cancel()

    def _wake(self) -> None:
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(trio.lowlevel.reschedule, self._task)
