"""The tools' loop: a thread with its own trio loop, in which users' async functions run, including those for asyncio.

1. No user's async function runs on the server's loop, so code that blocks holds up only other tools.
2. A thread whose loop is blocked for `BLOCKED_S` gets no more calls: another thread is opened for them. Its own calls
   fail with ``tools_restarted`` if it is still blocked after `GIVE_UP_S`, or dies.
"""

import logging
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import trio

from actors import Actor, ActorSystem, Context
from actors.errors import text_of
from actors.watchdog import watch_loop
from understudy.tools.containment import errors_in, hinting
from understudy.tools.errors import ToolError
from understudy.tools.lifespan import SERVER, Lifespan, LifespanFailed
from understudy.tools.loop_call import GRACE_S, LoopCall, NotBegun

if TYPE_CHECKING:
    from understudy.tools.context import ToolContext

T = TypeVar("T")
C = TypeVar("C", bound="ToolContext")
log = logging.getLogger(__name__)

BEAT_S: Final = 0.5
"""Seconds between two checks that the loop answers."""
BLOCKED_S: Final = 1.0
"""Seconds without an answer after which a loop counts as blocked, and another thread gets new calls."""
GIVE_UP_S: Final = 5.0
"""Further seconds until the calls of a blocked loop fail."""
MAX_BLOCKED: Final = 8
"""Threads that may be blocked at a time; beyond that, calls fail with ``busy``, so that threads cannot pile up."""


class ToolThread:
    """A thread with a loop for tools, and its side on the server's loop. `states` are the values of its lifespans."""

    call_class = LoopCall

    def __init__(self, lifespans: Mapping[str, Lifespan], system: ActorSystem | None, *, asyncio: bool) -> None:
        self.states: dict[str, Any] = {}
        self.calls: set[LoopCall] = set()
        self.opened, self.ended = trio.Event(), trio.Event()
        self.error: BaseException | None = None
        self._lifespans, self._system, self._asyncio = lifespans, system, asyncio
        self._opening = SERVER
        self._server = trio.lowlevel.current_trio_token()
        self._token: trio.lowlevel.TrioToken | None = None
        self._stop, self._whole = trio.Event(), trio.CancelScope()
        self._nursery: trio.Nursery | None = None
        self._loop: Any = None
        if asyncio:
            import trio_asyncio  # noqa: F401 - here, as it must replace asyncio's loop policy in the main thread

    async def open(self) -> None:
        """Start the thread and open all lifespans. Raises `LifespanFailed`."""
        threading.Thread(target=self._run, name="understudy.tools", daemon=True).start()
        limit_s = sum(lifespan.start_s for lifespan in self._lifespans.values()) or GIVE_UP_S
        with trio.move_on_after(limit_s) as limit:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_then_cancel, self.opened, nursery.cancel_scope)
                nursery.start_soon(_then_cancel, self.ended, nursery.cancel_scope)
        if self.opened.is_set():
            return
        self.post(self.cancel)
        whose = f"agent {self._opening!r}" if self._opening else "the server"
        if limit.cancelled_caught:
            raise LifespanFailed(f"the lifespan of {whose} did not open within {limit_s:g} s")
        raise LifespanFailed(f"the lifespan of {whose} failed: {_reason(self.error)}") from self.error

    async def close(self) -> None:
        """Cancel the calls and close the lifespans, within their deadlines. A blocked thread is abandoned."""
        stop_s = sum(lifespan.stop_s for lifespan in self._lifespans.values())
        for end, within_s in ((self.stop, GRACE_S + stop_s), (self.cancel, GRACE_S)):
            self.post(end)
            with trio.move_on_after(within_s):
                await self.ended.wait()
                return
        log.error("tools.thread_abandoned", extra={"calls": [call.name for call in self.calls]})

    async def run(self, name: str, function: "Callable[[C], Awaitable[T]]", context: "C") -> T:
        """Make a call. Raises the function's errors, `ToolError` ``tools_restarted``, and `NotBegun`."""
        call = self.call_class(name, function, context, self)
        self.calls.add(call)
        try:
            if not self.post(partial(self._start, call)):
                raise NotBegun
            result: T = await call.result()
            return result
        finally:
            self.calls.discard(call)

    async def answers(self, within_s: float) -> bool:
        """Return whether the loop answers in time."""
        answered = trio.Event()
        with trio.move_on_after(within_s):
            if self.post(partial(self.tell_server, answered.set)):
                await answered.wait()
        return answered.is_set()

    def gone(self, name: str) -> ToolError:
        """Return the error for a call that ended with its thread."""
        return ToolError("tools_restarted", f"The server's tools were restarted while {name} was running.")

    def post(self, function: Callable[[], object]) -> bool:
        """Run a function on the tools' loop. Return False if that has ended, or not begun."""
        with suppress(trio.RunFinishedError):
            if self._token is not None:
                self._token.run_sync_soon(function)
                return True
        return False

    # Called in the thread

    def stop(self) -> None:
        """Cancel the calls, and then close the lifespans."""
        self._stop.set()

    def cancel(self) -> None:
        """Cancel everything."""
        self._whole.cancel()

    def tell_server(self, function: Callable[[], object]) -> None:
        """Run a function on the server's loop, unless that has ended."""
        with suppress(trio.RunFinishedError):
            self._server.run_sync_soon(function)

    def _run(self) -> None:
        try:
            self._run_loop()
        except BaseException as error:
            self.error = error
        finally:
            self.tell_server(self._end)

    def _run_loop(self) -> None:
        trio.run(self._serve)

    def _end(self) -> None:
        self.ended.set()
        for call in list(self.calls):
            call.abandon(self.gone(call.name))

    async def _serve(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        with self._whole:
            async with AsyncExitStack() as stack:
                if self._system is not None:
                    stack.callback(watch_loop(self._system, self._server))
                if self._asyncio:
                    import trio_asyncio

                    from understudy.tools.contained_task import contained_task

                    self._loop = await stack.enter_async_context(trio_asyncio.open_loop())
                    self._loop.set_task_factory(contained_task)
                for name, lifespan in self._lifespans.items():
                    self._opening, manager = name, lifespan.open()
                    if lifespan.on_asyncio:
                        manager = trio_asyncio.aio_as_trio(manager)
                    with hinting("it runs on trio, but its code is for asyncio: say Lifespan(…, asyncio=True)"):
                        self.states[name] = await stack.enter_async_context(manager)
                async with trio.open_nursery() as self._nursery:
                    self.tell_server(self.opened.set)
                    await self._stop.wait()
                    self._nursery.cancel_scope.cancel()

    def _start(self, call: LoopCall) -> None:
        if self._nursery is None or self._stop.is_set():
            self.tell_server(call._end)
            return
        if self._loop is not None:
            import trio_asyncio

            call.variables.run(trio_asyncio.current_loop.set, self._loop)
        try:
            call.variables.run(partial(self._nursery.start_soon, call.serve, name=f"tool {call.name}"))
        except RuntimeError:  # the nursery has ended, and the thread will
            self.tell_server(call._end)


async def _then_cancel(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel()


def _reason(error: BaseException | None) -> str:
    return "it ended early" if error is None else text_of(next(errors_in(error)))


class ToolLoop:
    """The server's side of the tools' loop: the thread that gets new calls, and earlier threads that are blocked.

    `lifespans` are by the names of agents, the server's own by `SERVER`. `asyncio`: the threads have an asyncio loop
    inside trio's. `thread` makes the threads. Nothing is started before `open`.
    """

    def __init__(
        self, lifespans: Mapping[str, Lifespan], *, asyncio: bool, thread: "type[ToolThread]" = ToolThread
    ) -> None:
        self._make_thread = thread
        self._lifespans = lifespans
        self._asyncio = asyncio or any(lifespan.on_asyncio for lifespan in lifespans.values())
        self._system: ActorSystem | None = None
        self._thread: ToolThread | None = None
        self._blocked: dict[ToolThread, float] = {}  # and the times when they were found blocked
        self._changed = trio.Event()

    async def open(self, system: ActorSystem | None = None) -> None:
        """Open the first thread. Code that blocks its loop is reported to `system`. Raises `LifespanFailed`."""
        self._system = system
        await self._open()

    async def close(self) -> None:
        """Close all threads, within the deadlines of the lifespans."""
        threads = [*self._blocked, *([] if self._thread is None else [self._thread])]
        self._thread, self._blocked = None, {}
        async with trio.open_nursery() as nursery:
            for thread in threads:
                nursery.start_soon(thread.close)

    def state(self, agent: str) -> Any:
        """Return the value of an agent's lifespan; the server's, if the agent has none; else None."""
        states = {} if self._thread is None else self._thread.states
        return states.get(agent, states.get(SERVER))

    async def run(self, name: str, function: "Callable[[C], Awaitable[T]]", context: "C") -> T:
        """Make a call of the tool `name`. Raises the function's errors, and `ToolError`.

        Codes: ``tools_restarted`` if the thread was blocked or died meanwhile, ``busy`` if too many are blocked.
        """
        while True:  # bounded by the caller's deadline
            if (thread := self._thread) is not None:
                with suppress(NotBegun):
                    return await thread.run(name, function, context)
            if len(self._blocked) >= MAX_BLOCKED:
                raise ToolError("busy", "Too many tools hold up the server's tools; try again later.")
            if self._thread is thread:
                await self._changed.wait()

    async def watch(self) -> None:
        """Replace the thread whenever its loop is blocked or it has died. Runs until cancelled."""
        pause_s = BEAT_S
        while True:
            await trio.sleep(pause_s)
            thread = self._thread
            if thread is not None and not thread.ended.is_set() and not await thread.answers(BLOCKED_S):
                self._blocked[thread] = trio.current_time()
                log.error("tools.loop_blocked", extra={"calls": [call.name for call in thread.calls]})
                self._thread = None
            elif thread is not None and thread.ended.is_set():
                log.error("tools.loop_died", exc_info=thread.error)
                self._thread = None
            await self._clear_blocked()
            if self._thread is None and len(self._blocked) < MAX_BLOCKED:
                try:
                    await self._open()
                    pause_s = BEAT_S
                except LifespanFailed as error:
                    pause_s = min(2 * pause_s, 30.0)
                    log.error("tools.loop_not_opened", extra={"why": str(error), "again_s": pause_s})

    async def _open(self) -> None:
        thread = self._make_thread(self._lifespans, self._system, asyncio=self._asyncio)
        await thread.open()
        self._thread = thread
        self._changed.set()
        self._changed = trio.Event()

    async def _clear_blocked(self) -> None:
        """Close blocked threads that answer again and have no calls; fail the calls of those that do not answer."""
        now = trio.current_time()
        for thread, blocked_at in list(self._blocked.items()):
            if thread.ended.is_set() or (not thread.calls and await thread.answers(0.05)):
                del self._blocked[thread]
                await thread.close()
            elif now - blocked_at > GIVE_UP_S and not await thread.answers(0.05):
                for call in list(thread.calls):
                    call.abandon(thread.gone(call.name))


class ToolLoopActor(Actor):
    """Replaces the tools' thread whenever its loop is blocked."""

    def __init__(self, loop: ToolLoop) -> None:
        self.loop = loop

    async def on_start(self, context: Context) -> None:
        """Start the watch."""
        context.start_soon(self.loop.watch)

    async def receive(self, message: object, context: Context) -> None:
        """Ignore messages."""
