"""A pausable deadline. While a run waits for its user its deadline is suspended and its concurrency permit is released.

A run is paused while at least one of its tool calls waits for its user, for approval or an answer, and none is running.
It resumes when the user has replied or the wait expires, and the run has been granted a permit again: the wait for the
permit does not count as work either.
"""

import math
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

import trio
from attrs import define, field

from actors import ActorRef
from understudy.chat.run_limiter import RunLimiter, queue_note, release_permit


@contextmanager
def suspend_deadlines(scopes: Sequence[trio.CancelScope]) -> Generator[None]:
    """Suspend the deadlines of cancel scopes within the block; afterwards each has the time that it had left."""
    now = trio.current_time()
    remaining = [(scope, scope.deadline - now) for scope in scopes]
    for scope in scopes:
        scope.deadline = math.inf
    try:
        yield
    finally:
        for scope, left_s in remaining:
            scope.deadline = trio.current_time() + left_s


@define(eq=False)
class PausableDeadline:
    """The deadline of one run, which holds a permit of `limiter` when it starts.

    `scope` is the cancel scope of its work, `stopped` says whether its user has cancelled it. `on_queued` is called if
    the run has to wait for a permit again. `worked_before_s` is how long the run had worked before it was interrupted.
    """

    run_id: str
    owner: str
    limiter: RunLimiter[ActorRef]
    on_queued: Callable[[], None]
    worked_before_s: float = 0.0
    scope: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    stopped: bool = field(default=False, init=False)
    _left_s: float | None = field(default=None, init=False)
    _granted: trio.Event | None = field(default=None, init=False)
    _worked_s: float = field(default=0.0, init=False)  # until the last pause
    _working_since: float | None = field(default=None, init=False)

    def start(self, limit_s: float) -> None:
        """Start the clock: the work may take `limit_s` from now."""
        self._working_since = trio.current_time()
        self.scope.deadline = self._working_since + limit_s

    def stop(self) -> None:
        """Cancel the work, as its user asks."""
        self.stopped = True
        self.scope.cancel()

    @property
    def worked_s(self) -> float:
        """How long the run has worked, in seconds, also before it was interrupted; pauses do not count."""
        now_s = 0.0 if self._working_since is None else trio.current_time() - self._working_since
        return self.worked_before_s + self._worked_s + now_s

    @property
    def over(self) -> bool:
        """Whether the run was stopped by its user, or its time is over."""
        return self.scope.cancel_called

    @property
    def paused(self) -> bool:
        """Whether the deadline is suspended."""
        return self._left_s is not None

    @property
    def waiting_note(self) -> str:
        """The run's position in the queue for a permit, as a sentence; empty if it is not queued."""
        return queue_note(self.limiter, self.run_id) if self._granted is not None else ""

    def pause(self) -> None:
        """Suspend the deadline and release the permit. Does nothing if paused already."""
        if self._left_s is None:
            self._left_s = self.scope.deadline - trio.current_time()
            self.scope.deadline = math.inf
            if self._working_since is not None:
                self._worked_s += trio.current_time() - self._working_since
                self._working_since = None
            release_permit(self.limiter, self.run_id, resting=True)

    async def resume(self, run: ActorRef) -> None:
        """Return when the run has a permit again and the deadline is resumed; at once if it is not paused.

        While it waits, the actor `run` receives `PermitGranted` and calls `permit_granted`.
        """
        while self._left_s is not None:
            if self._granted is None:
                self._granted = trio.Event()
                if self.limiter.acquire(self.run_id, self.owner, run):
                    self.permit_granted()
                    return
                self.on_queued()
            await self._granted.wait()

    def permit_granted(self) -> None:
        """Resume the deadline: the run has been granted a permit."""
        if self._left_s is None or self._granted is None:
            return
        self._working_since = trio.current_time()
        self.scope.deadline = self._working_since + self._left_s
        self._left_s = None
        self._granted.set()
        self._granted = None
