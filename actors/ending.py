"""How an incarnation comes to its end: told to, killed, failed, or out of grace.

1. A stop takes effect in every state, and never waits behind the backlog unless it was asked to.
2. The grace is counted once for each incarnation. At its end the actor is killed; one that does not end even then is
   named.
3. A cancelled request ends the handling of its message, not the incarnation.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, cast

import trio

from . import letters
from .ask import Ask
from .exits import SHUTDOWN, Exit
from .lifecycle import State, Step, after
from .place import Place
from .records import ActorLingers
from .ref import StopMode
from .spec import SUPERVISOR_SHUTDOWN_S, WORKER_SHUTDOWN_S

if TYPE_CHECKING:
    from .cell import Cell

LINGER_S = 5.0
"""An actor that was killed and has not ended after this time is reported."""


class Ending(Place):
    """What can be done to an actor to end it."""

    __slots__ = ()

    def _step(self, step: Step) -> None:
        before, self.state = self.state, after(self.state, step)
        if self.system.streams and self.state is not before:
            self.system.changed(cast("Cell", self))

    def order_stop(self, mode: StopMode, *, final: bool = True, reason: Exit = SHUTDOWN) -> None:
        """Tell the actor to end. `final`: whatever its restart type says, it does not come back."""
        if self.buried:
            return
        if self.state in (State.STOPPED, State.BACKING_OFF):
            if self.retry is not None:
                self.retry.cancel()
                self.retry = None
            self._step(Step.END)
            if final:
                self.host.give_up(cast("Cell", self), reason)
            return
        self.final = self.final or final
        if self.mode is None:
            self.stop_reason = reason
        if self.leaving:
            return
        starting = self.state is State.STARTING
        self._step(Step.END)
        self.mode = mode if self.mode is None or mode is StopMode.NOW else self.mode
        self.arm_grace()
        if starting or mode is StopMode.NOW:
            self.scope.cancel()
        self.mailbox.interrupt = True
        self.mailbox.wake()

    def kill(self) -> None:
        """Cancel hard, with everything below; harmless when nothing runs."""
        if self.state in (State.STOPPED, State.BACKING_OFF):
            return
        if not self.killed:
            self._expect_the_end()
        self.killed = True
        if self.family is not None:
            self.family.kill_all()
        self.scope.cancel()

    def _expect_the_end(self) -> None:
        """Tell when an actor that was killed does not end: it holds on to a thread, or swallows its cancellation."""
        if self.grace is not None:
            self.grace.cancel()
        record = ActorLingers(self.path, LINGER_S)
        self.grace = self.system.timers.after(LINGER_S, partial(self.system.emit, record))

    def skip(self, request: object) -> None:
        """Cancel the handling of a request nobody waits for; the actor goes on with its next message."""
        if self.current is request and self.up and not (self.leaving or self.killed):
            self.skipping = True
            self.mailbox.interrupt = True
            self.scope.cancel()

    def goes_on(self) -> bool:
        """Whether the scope was cancelled for one message only; makes a new one then."""
        if not self.skipping or self.killed or self.fault is not None or self.mode is StopMode.NOW:
            return False
        self.skipping = False
        self.current = None
        self.scope = trio.CancelScope()
        return True

    def fail(self, error: Exception) -> None:
        """Crash from outside of `receive`: an own task raised, or the children fail too often."""
        if self.state in (State.STOPPED, State.BACKING_OFF):
            return
        self.note_fault(error)
        if not self.leaving:
            self.scope.cancel()

    def note_fault(self, error: Exception) -> None:
        """Remember the first error of this incarnation."""
        if self.fault is None:
            self.fault = error

    def resume(self, error: Exception) -> None:
        """Go on after an error: its message is skipped, and its caller told."""
        self.last_error = self.system.redacted(f"{type(error).__name__}: {error}")
        self.host.resumed(cast("Cell", self), error)
        if isinstance(self.current, Ask):
            letters.refuse(self.current, error)

    def must_leave(self) -> bool:
        """Whether the next message is not to be taken."""
        return self.killed or self.fault is not None or self.mode in (StopMode.NOW, StopMode.AFTER_MESSAGE)

    def leave(self) -> None:
        """The work is over; the stop hook comes next. Starts the grace of an end that nobody ordered."""
        self.leaving = True
        self._step(Step.END)
        if self._waits_for_children() and self.grace is not None:
            self.grace.cancel()
        else:
            self.arm_grace()

    def children_ended(self) -> None:
        """Only the stop hook is left: without a grace of its own, the actor has a worker's for it."""
        if self._waits_for_children() and not self.killed:
            self.grace = self.system.timers.after(WORKER_SHUTDOWN_S, self.kill)

    def arm_grace(self) -> None:
        """Start to count the grace, once for each incarnation; at its end the actor is killed.

        An actor with children and no grace of its own waits for them without limit, but its own message in work gets
        no more time than a worker's: else one that hangs would hold up the whole tree for ever.
        """
        if self.grace is not None or self.killed:
            return
        timers, seconds = self.system.timers, self.shutdown_s()
        if self._waits_for_children():
            self.grace = None if self.leaving else timers.after(WORKER_SHUTDOWN_S, self._overrun)
        elif seconds <= 0:
            self.kill()
        elif seconds != math.inf:
            self.grace = timers.after(seconds, self.kill)

    def _overrun(self) -> None:
        self.grace = None
        self._expect_the_end()
        self.killed = True
        self.scope.cancel()

    def _waits_for_children(self) -> bool:
        return self.family is not None and self.spec.shutdown_s is None

    def shutdown_s(self) -> float:
        """The grace in seconds: the spec's, else the default of a worker or of a supervisor."""
        if self.spec.shutdown_s is not None:
            return self.spec.shutdown_s
        return WORKER_SHUTDOWN_S if self.family is None else SUPERVISOR_SHUTDOWN_S
