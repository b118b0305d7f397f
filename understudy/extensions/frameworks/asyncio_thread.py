"""A thread with a plain asyncio loop, for agents of other frameworks, because not all of them work on trio's loop.

1. All calls share the loop, so clients and pools of a framework outlive a call. `ToolLoop` replaces a blocked loop.
2. A cancelled call, and each call of a thread that is closed, gets asyncio's CancelledError. The server does not wait
   for a call that ignores it.
"""

import asyncio
import logging
from asyncio import SelectorEventLoop
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from typing import Final

from attrs import define, field

from actors import ActorSystem
from understudy.tools.containment import contain
from understudy.tools.lifespan import Lifespan
from understudy.tools.loop import ToolLoop, ToolThread
from understudy.tools.loop_call import GRACE_S, LoopCall

log = logging.getLogger(__name__)

LAST_S: Final = GRACE_S / 2
"""Seconds that the closing loop gives cancelled calls, and half of it their tasks. The server waits longer."""


@define(eq=False)
class AsyncioCall(LoopCall):
    """A call on an asyncio loop: one task."""

    task: "asyncio.Task[None] | None" = field(default=None, init=False)

    def cancel(self) -> None:
        """Cancel the call."""
        if self.task is not None:
            self.task.cancel()

    async def serve(self) -> None:
        """Make the call. The end of its task ends the call, because the task may be cancelled before it begins."""
        try:
            if self.take_ticket():
                self.value = [await self.function(self._context())]
        except BaseException as error:
            if self.task is not None and self.task.cancelling() and not isinstance(error, Exception):
                raise
            self.error = contain(self.name, error, cancelled=False)


class AsyncioThread(ToolThread):
    """A thread with an asyncio loop. It has no lifespans."""

    call_class = AsyncioCall

    def __init__(self, lifespans: Mapping[str, Lifespan], system: ActorSystem | None, *, asyncio: bool) -> None:
        super().__init__(lifespans, system, asyncio=False)
        self._events = SelectorEventLoop()  # made directly, because trio-asyncio replaces the policy that makes loops
        self._ending = False

    def post(self, function: Callable[[], object]) -> bool:
        """Run a function on the asyncio loop, from any thread. Return False if the loop is closed."""
        with suppress(RuntimeError):
            self._events.call_soon_threadsafe(function)
            return True
        return False

    def stop(self) -> None:
        """Cancel the calls, and end the loop soon after, at most 1.5 `LAST_S` later. Call it in the thread."""
        for call in list(self.calls):
            call.cancel()
        self._events.create_task(self._end_soon())

    def cancel(self) -> None:
        """End the loop at once. Call it in the thread."""
        self._ending = True
        self._events.stop()

    async def _end_soon(self) -> None:
        """Wait for the cancelled calls, then end a framework's other tasks and async generators, then the loop."""
        tasks = [call.task for call in self.calls if isinstance(call, AsyncioCall) and call.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=LAST_S)
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_S / 2):
                for task in (others := asyncio.all_tasks() - {asyncio.current_task()}):
                    task.cancel()
                await asyncio.gather(*others, return_exceptions=True)
                await self._events.shutdown_asyncgens()
        self.cancel()

    def _run_loop(self) -> None:
        with closing(self._events) as loop:
            self.tell_server(self.opened.set)
            while not self._ending:
                try:
                    loop.run_forever()
                except (SystemExit, KeyboardInterrupt) as error:  # raised by a task or callback, which has failed then
                    log.warning("tools.exit_ignored", exc_info=error)

    def _start(self, call: LoopCall) -> None:
        assert isinstance(call, AsyncioCall)  # noqa: S101 - for the type checker: see `call_class`
        call.task = self._events.create_task(call.serve(), name=f"agent {call.name}", context=call.variables)
        call.task.add_done_callback(lambda _: self.tell_server(call._end))


class AsyncioLoop(ToolLoop):
    """The loop of the agents of other frameworks, opened by the extension if there are any."""
