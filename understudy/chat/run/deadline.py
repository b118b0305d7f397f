"""How long a run may still work. Its clock stands still while it rests, and it holds no place for running then.

A run rests while at least one of its tool calls waits for its user's consent and nothing else of it is at work. It goes
on once somebody decided, or nobody did in time, and it has a place again: standing in line for one is not work either.
"""

import math
from collections.abc import Callable

import trio
from attrs import define, field

from actors import ActorRef
from understudy.chat.run_limiter import RunLimiter, queue_note, release_permit


@define(eq=False)
class PausableDeadline:
    """The limit of one run: `scope` is the cancel scope of its work, which holds a place in `slots` when it begins.

    `must_wait` is called when the run has to stand in line for a place once more.
    """

    run_id: str
    owner: str
    slots: RunLimiter[ActorRef]
    on_queued: Callable[[], None]
    scope: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    _left_s: float | None = field(default=None, init=False)
    _granted: trio.Event | None = field(default=None, init=False)

    def start(self, limit_s: float) -> None:
        """The work begins now and may take `limit_s` seconds."""
        self.scope.deadline = trio.current_time() + limit_s

    @property
    def paused(self) -> bool:
        """Whether the clock stands still."""
        return self._left_s is not None

    @property
    def waiting_note(self) -> str:
        """Where the run stands in line, in a sentence; empty when it does not."""
        return queue_note(self.slots, self.run_id) if self._granted is not None else ""

    def pause(self) -> None:
        """Stop the clock and give the place back; nothing when it rests already."""
        if self._left_s is None:
            self._left_s = self.scope.deadline - trio.current_time()
            self.scope.deadline = math.inf
            release_permit(self.slots, self.run_id, resting=True)

    async def resume(self, run: ActorRef) -> None:
        """Return when the run has a place again and the clock goes on; at once if it does not rest.

        While it waits, the actor `run` hears `PermitGranted`, and calls `placed`.
        """
        while self._left_s is not None:
            if self._granted is None:
                self._granted = trio.Event()
                if self.slots.acquire(self.run_id, self.owner, run):
                    self.permit_granted()
                    return
                self.on_queued()
            await self._granted.wait()

    def permit_granted(self) -> None:
        """The run has its place: the clock goes on."""
        if self._left_s is None or self._granted is None:
            return
        self.scope.deadline = trio.current_time() + self._left_s
        self._left_s = None
        self._granted.set()
        self._granted = None
