"""The worker threads of tools: shared fairly, bounded, and replaced if a function does not return.

1. A thread belongs to its call until the function returns, even if the call was cancelled before, because Python cannot
   end a thread. Such a thread is *lost* until then.
2. At most `THREADS` calls work at a time, `PER_USER` of them for one user and `PER_TOOL` for one tool. A lost thread
   still counts for its user and its tool, and is replaced, up to `MAX_LOST` of all.
3. A call waits for a thread at most `WAIT_S`, and at most `MAX_QUEUED` calls of a user wait. A call that could only be
   served by the return of a lost thread is refused at once.

These threads are apart from trio's own, which storage and files use.
"""

import logging
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, Final, TypeVar, cast

import trio
from attrs import define, field

from understudy.sandbox.limiters import FairLimiter, QueueFull, RunLocal
from understudy.tools.containment import contained
from understudy.tools.errors import ToolError

T = TypeVar("T")
WhileQueued = Callable[[], AbstractContextManager[object]]
log = logging.getLogger(__name__)

THREADS: Final = 40
"""Calls that work at a time: as many as the threads that trio has by default, in addition to those."""
PER_USER: Final = 8
"""Calls of one user. A run makes at most eight at a time, so a single run never waits for itself."""
PER_TENANT: Final = 30
"""Calls of one tenant's users. A quarter of the threads is always left to others."""
PER_TOOL: Final = 20
"""Calls of one tool. If its backend does not answer, half of the threads is left to other tools."""
MAX_LOST: Final = 40
"""Lost threads that are replaced, so there are at most twice `THREADS`. A thread costs about 100 KB."""
MAX_QUEUED: Final = 20
"""Calls of one user that wait for a thread; one more is refused."""
WAIT_S: Final = 30.0
"""Seconds that a call waits for a thread; its own time limit starts afterwards. Then it is refused."""


async def wait_for_permit(limiter: FairLimiter, owner: str, tool: str, while_queued: WhileQueued) -> None:
    """Acquire a permit for a call of a tool; the caller releases it. `while_queued` is entered if the call has to wait.

    Raises:
        ToolError: ``busy``: the queue is full, or no permit was free within `WAIT_S`.
    """
    if limiter.acquire_nowait(owner, tool):
        return
    with while_queued(), trio.move_on_after(WAIT_S):
        try:
            await limiter.acquire(owner, tool)
        except QueueFull:
            sentence = f"{limiter.max_queued} of your calls wait for a free place already; try again later."
            raise ToolError("busy", sentence) from None
        return
    raise ToolError("busy", f"There was no free place for {tool} within {WAIT_S:g} s; try again later.")


@define(eq=False)
class _Permit:
    """The permit of one call, as a limiter: it has the methods of one that `trio.to_thread.run_sync` calls."""

    threads: "ToolThreads"
    owner: str
    tool: str
    limit_s: float
    while_queued: WhileQueued
    scope: trio.CancelScope = field(factory=trio.CancelScope)
    held: bool = False
    lost_at: float | None = None

    async def acquire_on_behalf_of(self, _borrower: Any) -> None:
        """Wait for a thread, and start the time limit. Raises `ToolError` ``busy``."""
        await self.threads.acquire(self.owner, self.tool, self.while_queued)
        self.held = True
        self.scope.deadline = trio.current_time() + self.limit_s

    def release_on_behalf_of(self, _borrower: Any) -> None:
        """Return the thread: its function has returned."""
        self.held = False
        self.threads.release(self)


@define(eq=False)
class ToolThreads:
    """The threads of one run of trio. `on_lost` is called with the name of the tool when a thread is lost."""

    on_lost: Callable[[str], object] = field(default=lambda _: None)
    _limiter: FairLimiter = field(init=False)
    _lost: set[_Permit] = field(factory=set, init=False)

    def __attrs_post_init__(self) -> None:
        self._limiter = FairLimiter(THREADS, PER_USER, PER_TENANT, MAX_QUEUED, PER_TOOL)

    async def run(
        self,
        function: Callable[[], T],
        owner: str,
        tool: str,
        limit_s: float = float("inf"),
        while_queued: WhileQueued = nullcontext,
    ) -> T:
        """Run a function in a thread. A call that is cancelled returns at once, while its function continues.

        `while_queued` is entered while the call waits for a thread; `limit_s` bounds the function, not the wait.

        Raises:
            ToolError: ``busy``: no thread is free; ``tool_timeout``: the function took longer than `limit_s`.
        """
        permit = _Permit(self, owner, tool, limit_s, while_queued)
        with permit.scope:
            try:
                return await trio.to_thread.run_sync(
                    partial(_contained, tool, function),
                    thread_name=f"tool {tool}",
                    abandon_on_cancel=True,
                    limiter=cast("trio.CapacityLimiter", permit),
                )
            except trio.Cancelled:
                if permit.held:
                    self._lose(permit)
                raise
        raise ToolError("tool_timeout", f"{tool} took longer than {limit_s:g} s.")

    async def acquire(self, owner: str, tool: str, while_queued: WhileQueued) -> None:
        """Acquire a permit. Raises `ToolError` ``busy``, at once if only a lost thread could serve the call."""
        of_user = [permit.tool for permit in self._lost if permit.owner == owner]
        if len(of_user) >= PER_USER:
            tools = ", ".join(sorted(set(of_user)))
            raise ToolError("busy", f"{PER_USER} of your earlier calls have not ended ({tools}); try again later.")
        if self.lost[tool] >= PER_TOOL:
            raise ToolError("busy", f"{tool} hangs: {PER_TOOL} of its calls have not ended; try again later.")
        if len(self._lost) >= THREADS + MAX_LOST:
            raise ToolError("busy", "Too many of the server's tools hang; try again later.")
        await wait_for_permit(self._limiter, owner, tool, while_queued)

    def release(self, permit: _Permit) -> None:
        """Return a permit. If its thread was lost, it no longer is."""
        if permit.lost_at is not None:
            self._lost.discard(permit)
            after_s = round(trio.current_time() - permit.lost_at, 3)
            log.info("tools.thread_returned", extra={"tool": permit.tool, "after_s": after_s, "lost": len(self._lost)})
            self._limiter.total = self._permits()
        self._limiter.release(permit.owner, permit.tool)

    @property
    def working(self) -> int:
        """Number of threads whose calls have not ended."""
        return self._limiter.held - len(self._lost)

    @property
    def lost(self) -> Counter[str]:
        """Number of lost threads by the names of their tools."""
        return Counter(permit.tool for permit in self._lost)

    def _permits(self) -> int:
        return THREADS + min(len(self._lost), MAX_LOST)

    def _lose(self, permit: _Permit) -> None:
        permit.lost_at = trio.current_time()
        self._lost.add(permit)
        log.warning("tools.thread_lost", extra={"tool": permit.tool, "lost": len(self._lost), "by_tool": self.lost})
        self.on_lost(permit.tool)
        self._limiter.resize(self._permits())


def _contained(tool: str, function: Callable[[], T]) -> T:
    """Run a function of a user in this thread."""
    with contained(tool, in_thread=True):
        return function()


tool_threads: Final = RunLocal("understudy.tool_threads", ToolThreads)
"""The threads of the current trio loop: the server's, or that of the tools."""
