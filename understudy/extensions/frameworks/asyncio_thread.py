"""A thread with a loop of asyncio alone, for agents of other frameworks: not all of them work on trio's.

1. All calls share the loop, so clients and pools of a framework outlive a call. `ToolLoop` replaces a blocked one.
2. A call that is cancelled, or whose thread is closed, gets asyncio's CancelledError. The server leaves one that stays.
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
"""Seconds for cancelled calls, and half of it for what they leave, before the loop closes. The server waits longer."""


@define(eq=False)
class AsyncioCall(LoopCall):
    """A call on an asyncio loop: one task."""

    task: "asyncio.Task[None] | None" = field(default=None, init=False)

    def cancel(self) -> None:
        """Cancel the call."""
        if self.task is not None:
            self.task.cancel()

    async def serve(self) -> None:
        """Make the call. Its end is told by its task, which may be cancelled before it begins."""
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
        self._events = SelectorEventLoop()  # made directly: trio-asyncio replaces the policy that would make one
        self._ending = False

    def post(self, function: Callable[[], object]) -> bool:
        """Run a function on the asyncio loop. Return False if that has ended."""
        with suppress(RuntimeError):  # it is closed
            self._events.call_soon_threadsafe(function)
            return True
        return False

    # In the thread

    def stop(self) -> None:
        """Cancel the calls, and end the loop within `LAST_S`."""
        for call in list(self.calls):
            call.cancel()
        self._events.create_task(self._end_soon())

    def cancel(self) -> None:
        """End the loop."""
        self._ending = True
        self._events.stop()

    async def _end_soon(self) -> None:
        """End the calls, then the tasks that a framework started beside them, then async generators, then the loop."""
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
                except (SystemExit, KeyboardInterrupt) as error:  # of a task or callback; the task has it, too
                    log.warning("tools.exit_ignored", exc_info=error)

    def _start(self, call: LoopCall) -> None:
        assert isinstance(call, AsyncioCall)  # noqa: S101 - for the type checker: see `call_class`
        call.task = self._events.create_task(call.serve(), name=f"agent {call.name}", context=call.variables)
        call.task.add_done_callback(lambda _: self.tell_server(call._end))


class AsyncioLoop(ToolLoop):
    """The loop of agents of other frameworks, which the extension opens if there are any."""
